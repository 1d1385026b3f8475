# The table that compares packages: what it says that nodekitr has, a test shows.

comparison <- function() utils::read.csv(system.file("comparison.csv", package = "nodekitr"), na.strings = character())

# What the tests of this folder are called.
names_of_tests <- function() {
  unlist(lapply(list.files(test_path(), "^test-.*[.]R$", full.names = TRUE), function(file) {
    calls <- Filter(function(x) is.call(x) && identical(x[[1]], quote(test_that)), as.list(parse(file)))
    vapply(calls, function(x) x[[2]], "")
  }))
}

test_that("what the table says of nodekitr is shown by a test that there is", {
  table <- comparison()
  expect_true(all(table$part %in% c("solve", "fit", "learn")))
  expect_false(anyDuplicated(table$question) > 0)
  expect_identical(table$test[!table$test %in% c("", names_of_tests())], character())
  # Only what is not there needs no test.
  expect_identical(table$question[table$test == "" & !grepl("^no\\b", table$nodekitr)], character())
})
