test_that("a file is written whole or not at all", {
  path <- file.path(tempfile("folder-"), "table.csv")
  expect_error(write_atomically(path, function(partial) {
    writeLines("half", partial)
    stop("no more")
  }), "no more")
  expect_length(list.files(dirname(path), all.files = TRUE, no.. = TRUE), 0)
  value <- c(0.1 + 0.2, 0.1, 1e-300, NA)
  write_csv(data.frame(value, word = "a \"b\", c"), path)
  expect_identical(read_table(path)$value, value)
  expect_equal(read_table(path)$word[1], "a \"b\", c")
})

test_that("options are read by name, in their types", {
  options <- command_options(list(output = NULL, learning_rate = 1), c("--learning-rate", "0.5", "--output", "x"))
  expect_equal(options, list(output = "x", learning_rate = 0.5))
  expect_error(command_options(list(output = NULL), character()), "missing option --output")
  expect_error(command_options(list(epochs = 5), c("--epochs", "many")), "--epochs must be a number, not 'many'")
})
