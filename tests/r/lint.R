# Checks the style of the R files in the folders or files named, by the rules of .lintr: `make lint`.
paths <- commandArgs(trailingOnly = TRUE)
lints <- do.call(c, lapply(paths, function(path) if (dir.exists(path)) lintr::lint_dir(path) else lintr::lint(path)))
for (lint in lints) print(lint)
quit(status = as.integer(length(lints) > 0))
