# Write the report of a results folder:
#
#   Rscript rscripts/report/render.R <results> [output, by default <results>/report.html]

folder <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))[1]))
source(file.path(folder, "..", "locale.R"))
own <- setdiff(list.files(folder, "[.]R$"), "render.R")
for (name in c("../files.R", "../figure_data.R", own)) source(file.path(folder, name), encoding = "UTF-8")

#' Knit and convert the page, whole or not at all.
render_report <- function(results, output, root) {
  if (!rmarkdown::pandoc_available("2.9")) stop("pandoc 2.9 or newer is needed; install the package pandoc", call. = FALSE)
  study <- read_study(normalizePath(results), root)
  # rmarkdown writes beside its input: a copy in a folder of its own keeps the sources clean.
  work <- tempfile("report-")
  dir.create(work)
  on.exit(unlink(work, recursive = TRUE))
  sources <- file.path(root, "rscripts", "report", c("report.Rmd", "template.html", "report.css"))
  stopifnot(file.copy(sources, work))
  style <- file.path(work, "style.html")
  css <- readLines(file.path(work, "report.css"), encoding = "UTF-8")
  writeLines(enc2utf8(c(description_html(study), "<style>", css, "</style>")), style, useBytes = TRUE)
  head <- file.path(work, "head.html")
  writeLines(enc2utf8(run_html(study)), head, useBytes = TRUE)
  page <- rmarkdown::output_format(
    knitr = rmarkdown::knitr_options(opts_knit = list(progress = FALSE)),
    pandoc = rmarkdown::pandoc_options(
      to = "html5", from = "markdown-smart",
      args = c(
        "--standalone", "--mathml", "--toc", "--toc-depth=2", "--section-divs",
        "--template", file.path(work, "template.html"), "--include-in-header", style,
        "--include-before-body", head
      )
    )
  )
  environment <- list2env(list(study = study), parent = globalenv())
  made <- rmarkdown::render(
    file.path(work, "report.Rmd"), page, "report.html", quiet = TRUE, envir = environment, encoding = "UTF-8"
  )
  lines <- calm_parentheses(readLines(made, encoding = "UTF-8", warn = FALSE))
  write_atomically(output, function(partial) writeLines(lines, partial, useBytes = TRUE))
}

if (sys.nframe() == 0) {
  words <- commandArgs(trailingOnly = TRUE)
  if (!length(words) || !dir.exists(words[1])) stop("usage: Rscript render.R <results folder> [output]", call. = FALSE)
  output <- if (length(words) > 1) words[2] else file.path(words[1], "report.html")
  cat(render_report(words[1], output, dirname(dirname(folder))), "\n")
}
