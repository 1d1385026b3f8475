test_that("a figure is written as PNG, SVG and PDF, and nothing else is left", {
  folder <- tempfile("figures-")
  files <- drawn("figure_solution_curves", history = curves(), stem = file.path(folder, "curves"))
  expect_setequal(list.files(folder, all.files = TRUE, no.. = TRUE), c("curves.png", "curves.svg", "curves.pdf"))
  expect_equal(first_bytes(files[1], 8), as.raw(c(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)))
  expect_match(paste(readLines(files[2], warn = FALSE), collapse = ""), "<svg.*</svg>")
  expect_equal(rawToChar(first_bytes(files[3], 5)), "%PDF-")
})

test_that("a PNG has at least 200 dots per inch at 12 cm", {
  file <- drawn("figure_solution_curves", history = curves())[1]
  # The width is the big-endian integer at byte 17 of a PNG file.
  width <- sum(as.integer(first_bytes(file, 20)[17:20]) * 256^(3:0))
  expect_gte(width / (12 / 2.54), 200)
})

test_that("a missing column is a classed condition that names figure, table, column and file", {
  file <- tempfile(fileext = ".csv")
  write_csv(curves()[c("series", "x", "y")], file)
  error <- tryCatch(
    draw_figure("solution_curves", "figure_solution_curves", list(history = read_table(file)), tempfile(), c(history = file)),
    figure_data_error = identity
  )
  expect_s3_class(error, "figure_data_error")
  expect_equal(error$columns, c("exact", "highlighted"))
  expect_equal(error$figure, "solution_curves")
  for (part in c("solution_curves", "history", "exact, highlighted", basename(file))) {
    expect_match(conditionMessage(error), part, fixed = TRUE)
  }
})

test_that("an empty table is an error, not an empty figure", {
  expect_error(drawn("figure_solution_curves", history = curves()[0, ]), "has no rows", class = "figure_data_error")
})

test_that("a table that the figure does not take is refused by name", {
  expect_error(drawn("figure_solution_curves", histroy = curves()), "no table 'histroy'; it takes history")
})

test_that("an unexpected warning fails the figure and leaves no file", {
  folder <- tempfile("figures-")
  assign("figure_that_warns", envir = globalenv(), function(history) {
    # A logarithm of zero is noticed by ggplot only while it draws.
    ggplot(data.frame(x = 1:3, y = c(0, 1, 10)), aes(x, y)) + geom_point() + scale_y_log10()
  })
  on.exit(rm("figure_that_warns", envir = globalenv()))
  expect_error(
    suppressMessages(drawn("figure_that_warns", history = curves(), stem = file.path(folder, "points"))),
    "unexpected warning", class = "figure_warning_error"
  )
  expect_length(list.files(folder, all.files = TRUE, no.. = TRUE), 0)
})

test_that("the command line draws from a CSV, in a locale without UTF-8 too", {
  csv <- tempfile(fileext = ".csv")
  stem <- tempfile("curves-")
  write_csv(curves(), csv)
  command <- c(file.path(root, "rscripts", "draw.R"), "solution_curves", stem, paste0("history=", csv))
  output <- system2("Rscript", shQuote(command), stdout = TRUE, stderr = TRUE, env = "LC_ALL=C")
  expect_null(attr(output, "status"))
  expect_true(all(file.exists(paste0(stem, c(".png", ".svg", ".pdf")))))
})
