# The help pages of the R package as pages of the documentation site.

root <- Sys.getenv("NODEKIT_ROOT")
source(file.path(root, "docs/r_pages.R"))

page_of <- function(...) {
  file <- tempfile(fileext = ".Rd")
  writeLines(c("\\name{a}", "\\title{A title}", ...), file)
  help_page(tools::parse_Rd(file), c(nk_ode = "nk_ode"))
}

test_that("every help page is a page, and its links lead to one", {
  folder <- tempfile("pages")
  dir.create(folder)
  package <- file.path(root, "rscripts/nodekitr")
  titles <- write_help(package, folder)
  helps <- tools::file_path_sans_ext(list.files(file.path(package, "man"), "[.]Rd$"))
  expect_setequal(names(titles), helps)
  for (name in helps) {
    text <- readLines(file.path(folder, paste0(name, ".md")), encoding = "UTF-8")
    expect_identical(text[1], paste("#", titles[[name]]))
    links <- unlist(regmatches(text, gregexpr("(?<=\\]\\()[^)]+[.]md", text, perl = TRUE)))
    expect_true(all(file.exists(file.path(folder, links))), info = name)
  }
  exported <- sub("^export\\((.*)\\)$", "\\1", grep("^export", readLines(file.path(package, "NAMESPACE")), value = TRUE))
  usages <- unlist(lapply(list.files(folder, full.names = TRUE), readLines))
  for (name in exported) expect_true(any(startsWith(usages, paste0(name, "("))), info = name)
})

test_that("marks of help become marks of Markdown, and what Markdown would take for a mark does not", {
  page <- page_of("\\description{5 * 3 and a_b in \\code{f(x)}, \\emph{so};",
    "see \\code{\\link[=nk_ode]{nk_ode()}}, \\link[x]{y}.}")
  expect_match(page, "5 \\* 3 and a\\_b in `f(x)`, *so*;\nsee [`nk_ode()`](nk_ode.md), y.", fixed = TRUE)
  page <- page_of("\\arguments{\\item{x, y}{two", "numbers}}", "\\usage{\\method{print}{nk_fit}(x, ...)}")
  expect_match(page, "`x, y`\n: two\n  numbers", fixed = TRUE)
  expect_match(page, "## S3 method for class 'nk_fit'\nprint(x, ...)", fixed = TRUE)
  page <- page_of("\\details{\\tabular{ll}{a \\tab \\code{b} \\cr c \\tab d \\cr} \\itemize{\\item one \\item two}}")
  expect_match(page, "| a | `b` |\n|---|---|\n| c | d |", fixed = TRUE)
  expect_match(page, "- one\n- two\n", fixed = TRUE)
})

test_that("where vignettes were not run, the index says so", {
  index <- function(vignettes) paste(index_page(c(nk_ode = "Solve"), vignettes), collapse = "\n")
  expect_match(index(character()), "not run where this site was built")
  expect_match(index("desolve"), "toctree}\n:maxdepth: 1\n\ndesolve", fixed = TRUE)
})

test_that("a mark that is not known is an error, not a page with a hole", {
  expect_error(page_of("\\description{\\figure{a.png}}"), "does not know the mark .figure")
})
