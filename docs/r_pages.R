# The help pages and vignettes of an R package as pages of this site:
# Rscript docs/r_pages.R PACKAGE-FOLDER TARGET-FOLDER
# A mark that is not known here is an error. Vignettes are run, where the packages for that are installed.

ESCAPED <- "([\\\\`*_<>$|{}#]|\\[|\\])"

tag_of <- function(x) attr(x, "Rd_tag")

# The text of a piece of code, whatever marks are in it.
plain <- function(x) {
  if (is.character(x)) return(paste(x, collapse = ""))
  if (identical(tag_of(x), "\\method")) {
    return(paste0("## S3 method for class '", plain(x[[2]]), "'\n", plain(x[[1]])))
  }
  paste(vapply(x, plain, ""), collapse = "")
}

code <- function(text) {
  text <- gsub("\n", " ", text)
  if (grepl("`", text)) paste0("`` ", text, " ``") else paste0("`", text, "`")
}

block <- function(text, language) paste0("\n```", language, "\n", sub("^\n+", "", sub("\\s+$", "", text)), "\n```\n")

# Running text; `pages` says on which page a topic is.
running <- function(x, pages) {
  if (is.character(x)) {
    return(switch(tag_of(x), COMMENT = "", TEXT = gsub(ESCAPED, "\\\\\\1", x), paste(x, collapse = "")))
  }
  if (is.null(tag_of(x))) return(paste(vapply(split_items(x), running, "", pages), collapse = ""))
  inside <- function() running(structure(x, Rd_tag = NULL, Rd_option = NULL), pages)
  switch(tag_of(x),
    "\\code" = linked(x, code(plain(x)), pages), "\\verb" = code(plain(x)), "\\link" = linked(list(x), inside(), pages),
    "\\emph" = paste0("*", inside(), "*"), "\\strong" = paste0("**", inside(), "**"), "\\email" = plain(x),
    "\\itemize" = paste0("\n", inside(), "\n"), listed = paste0("- ", gsub("\n", "\n  ", trimws(inside())), "\n"),
    "\\item" = "", "\\tabular" = tabular(x[[2]], pages), "\\dontrun" = inside(),
    stop("docs/r_pages.R does not know the mark ", tag_of(x), ".")
  )
}

# The entries of a list, each with what follows its mark, as one piece.
split_items <- function(x) {
  marks <- vapply(x, function(piece) identical(tag_of(piece), "\\item") && !length(piece), NA)
  if (!any(marks)) return(x)
  entry <- cumsum(marks)
  lapply(unname(split(x[entry > 0], entry[entry > 0])), function(entry) structure(entry[-1], Rd_tag = "listed"))
}

# Text that is a link, if there is one in it to a topic of this package.
linked <- function(x, text, pages) {
  for (link in Filter(function(piece) identical(tag_of(piece), "\\link"), x)) {
    option <- attr(link, "Rd_option")
    topic <- if (is.null(option)) plain(link) else if (startsWith(option, "=")) sub("^=", "", option)
    if (!is.null(topic) && topic %in% names(pages)) return(paste0("[", text, "](", pages[[topic]], ".md)"))
  }
  text
}

tabular <- function(x, pages) {
  tags <- vapply(x, function(piece) tag_of(piece), "")
  rows <- split(x, cumsum(c(TRUE, tags[-length(tags)] == "\\cr")))
  cells <- lapply(rows, function(row) {
    tags <- vapply(row, function(piece) tag_of(piece), "")
    kept <- !tags %in% c("\\tab", "\\cr")
    columns <- split(row[kept], cumsum(tags == "\\tab")[kept])
    vapply(columns, function(column) trimws(gsub("\n", " ", running(column, pages))), "")
  })
  cells <- Filter(function(row) any(nzchar(row)), cells)
  lines <- vapply(cells, function(row) paste0("| ", paste(row, collapse = " | "), " |"), "")
  rule <- paste0("|", strrep("---|", length(cells[[1]])))
  paste0("\n", paste(c(lines[1], rule, lines[-1]), collapse = "\n"), "\n")
}

definitions <- function(x, pages) {
  items <- Filter(function(piece) identical(tag_of(piece), "\\item"), x)
  paste(vapply(items, function(item) {
    paste0("\n", code(plain(item[[1]])), "\n: ", gsub("\n", "\n  ", trimws(running(item[[2]], pages))), "\n")
  }, ""), collapse = "")
}

# A help page as Markdown.
help_page <- function(rd, pages) {
  parts <- function(tag) Filter(function(part) identical(tag_of(part), tag), rd)
  one <- function(tag, heading, write) {
    part <- parts(tag)
    if (length(part)) paste0(if (!is.null(heading)) paste0("\n## ", heading, "\n\n"), write(part[[1]]), "\n")
  }
  text <- function(part) trimws(running(structure(part, Rd_tag = NULL), pages))
  paste(c(
    paste0("# ", one("\\title", NULL, text)), one("\\description", NULL, text),
    one("\\usage", "Usage", function(part) block(plain(part), "r")),
    one("\\arguments", "Arguments", function(part) definitions(part, pages)), one("\\value", "Value", text),
    one("\\details", "Details", text),
    vapply(parts("\\section"), function(part) paste0("\n## ", text(part[[1]]), "\n\n", text(part[[2]]), "\n"), ""),
    one("\\seealso", "See also", text), one("\\examples", "Examples", function(part) block(plain(part), "r"))
  ), collapse = "\n")
}

# A vignette, run: its text with results, figures beside it.
vignette_page <- function(file, folder) {
  lines <- readLines(file, encoding = "UTF-8")
  ends <- which(lines == "---")[1:2]
  title <- sub("^title: \"(.*)\"$", "\\1", grep("^title:", lines[ends[1]:ends[2]], value = TRUE))
  lines <- lines[-seq_len(ends[2])]
  # The style of the page is this site's.
  styled <- grep("^```\\{css", lines)
  for (start in rev(styled)) lines <- lines[-(start:(start + which(lines[-seq_len(start)] == "```")[1]))]
  name <- tools::file_path_sans_ext(basename(file))
  knitr::opts_knit$set(base.dir = folder, progress = FALSE)
  # A figure that is not centred is one of Markdown, which this site finds; a page has room for a larger one.
  for_pages <- list(fig.align = "default", dpi = 100)
  knitr::opts_hooks$set(fig.align = function(options) utils::modifyList(options, for_pages))
  knitr::opts_chunk$set(error = FALSE, fig.path = paste0("figures/", name, "-"), dev.args = list(bg = "transparent"))
  text <- strsplit(knitr::knit(text = c(paste("#", title), lines), quiet = TRUE, envir = new.env()), "\n")[[1]]
  fences <- grep("^```", text)
  opening <- fences[c(TRUE, FALSE)]
  text[opening] <- sub("^```\\s*$", "```text", text[opening])
  writeLines(text, file.path(folder, paste0(name, ".md")), useBytes = TRUE)
}

index_page <- function(helps, vignettes) {
  entries <- function(names) paste(names, collapse = "\n")
  c(
    "# R reference", "",
    "The help pages and vignettes of the R package nodekitr, as this version has them; [From R](../r.md) says how to",
    "install it.", "", "## Vignettes", "",
    if (length(vignettes)) c("```{toctree}", ":maxdepth: 1", "", entries(vignettes), "```") else
      "They were not run where this site was built. `make nodekitr` builds them.",
    "", "## Help pages", "", "```{toctree}", ":maxdepth: 1", "",
    entries(paste0(names(helps), " - ", helps, " <", names(helps), ">")), "```"
  )
}

# The help pages of the package in a folder, written to another one; their titles by name.
write_help <- function(package, folder) {
  files <- sort(list.files(file.path(package, "man"), "[.]Rd$", full.names = TRUE))
  rds <- lapply(stats::setNames(files, tools::file_path_sans_ext(basename(files))), tools::parse_Rd)
  of <- function(rd, tag) vapply(Filter(function(part) identical(tag_of(part), tag), rd), plain, "")
  pages <- unlist(lapply(names(rds), function(name) {
    aliases <- of(rds[[name]], "\\alias")
    stats::setNames(rep(name, length(aliases)), aliases)
  }))
  for (name in names(rds)) writeLines(help_page(rds[[name]], pages), file.path(folder, paste0(name, ".md")))
  vapply(rds, function(rd) trimws(of(rd, "\\title")), "")
}

main <- function(package, folder) {
  unlink(folder, recursive = TRUE)
  dir.create(folder, recursive = TRUE)
  package <- normalizePath(package)
  folder <- normalizePath(folder)
  helps <- write_help(package, folder)
  vignettes <- list.files(file.path(package, "vignettes"), "[.]Rmd$", full.names = TRUE)
  needed <- c("deSolve", "knitr", "reticulate")
  missing <- needed[!vapply(needed, requireNamespace, NA, quietly = TRUE)]
  if (length(missing)) {
    message("Without the vignettes of nodekitr, as R has no ", paste(missing, collapse = ", "), ".")
    vignettes <- character()
  } else {
    write_vignettes(vignettes, package, folder)
  }
  writeLines(index_page(helps, tools::file_path_sans_ext(basename(vignettes))), file.path(folder, "index.md"))
}

# The package is installed for this alone.
write_vignettes <- function(files, package, folder) {
  library <- tempfile("library")
  dir.create(library)
  utils::install.packages(package, lib = library, repos = NULL, type = "source", quiet = TRUE)
  .libPaths(c(library, .libPaths()))
  for (file in files) vignette_page(file, folder)
}

if (sys.nframe() == 0) {
  arguments <- commandArgs(trailingOnly = TRUE)
  if (length(arguments) != 2) stop("Usage: Rscript docs/r_pages.R PACKAGE-FOLDER TARGET-FOLDER")
  main(arguments[1], arguments[2])
}
