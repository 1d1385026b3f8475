test_that("what comes from files is escaped", {
  expect_equal(escape("a <b> & \"c\""), "a &lt;b&gt; &amp; &quot;c&quot;")
  expect_equal(escape(NA), "")
  expect_match(html_code("<script>"), "&lt;script&gt;", fixed = TRUE)
})

test_that("numbers are written in their units", {
  expect_equal(format_value(c(98.7, 0.6412345, 208266, NA), c("%", "", "", "")), c("98.70\u00a0%", "0.6412", "208\u202f266", ""))
  expect_equal(format_published(c(240000, 0.42)), c("240\u202f000", "0.42"))
  expect_equal(format_published(c(43.483, 2, 1), c("%", "%", NA), c("=", "<", "=")), c("43.483\u00a0%", "<\u00a02\u00a0%", "1"))
  expect_equal(format_seconds(59.9), "59.9\u00a0s")
  expect_equal(format_seconds(734), "12\u00a0min")
  expect_equal(format_bytes(47040016), "47\u00a0MB")
})

test_that("small and negative numbers are written as people write them", {
  written <- c("1.515\u00a0\u00d7\u00a010\u207b\u00b9\u2075", "\u22120.2289", "\u22123.2\u00a0\u00d7\u00a010\u207b\u2075")
  expect_equal(format_value(c(1.515e-15, -0.2289, -3.2e-05)), written)
  expect_equal(format_published(1e-10), "1\u00a0\u00d7\u00a010\u207b\u00b9\u2070")
  expect_equal(format_value(0, "relative"), "0")
})

test_that("verdicts are counted, also those that do not occur", {
  counts <- verdict_counts(data.frame(verdict = c("reproduced", "not comparable", "reproduced")))
  expect_equal(as.vector(counts), c(2, 0, 0, 1, 0))
})

test_that("punctuation in a title is not read as Markdown", {
  expect_equal(plain_markdown("y' = *y* <b>"), "y\\' \\= \\*y\\* \\<b\\>")
})

test_that("the table of orders has every method with its interval, and says which are outside", {
  results <- tempfile("results-")
  write_csv(data.frame(
    panel = "order", series = c("euler", "<rk4>"), kind = "explicit", problem = "y' = y", step = 0.1, error = 0.01,
    order = c(1, 4), slope = c(1.0064, 3.8), slope_low = c(1, 3.7), slope_high = c(1.01, 3.9)
  ), file.path(results, "tables", "P6", "history.csv"))
  page <- paste(capture.output(write_orders(list(results = results), "P6")), collapse = "\n")
  expect_match(page, "Orders of 2 methods: 1 of 2 measurements within 0.1 of the declared order", fixed = TRUE)
  for (part in c("<code>euler</code>", "1.006<small>1.000 to 1.010</small>", "&lt;rk4&gt;", "\u2717 no")) {
    expect_match(page, part, fixed = TRUE)
  }
  expect_length(capture.output(write_orders(list(results = results), "P4")), 0)
})

test_that("a number without bound is written as such", {
  expect_equal(format_value(c(Inf, -Inf), c("", "")), c("\u221e", "\u2212\u221e"))
})

test_that("errata keep the document's words, say in words what their check found, and link to the runs that there are", {
  study <- list(results = tempfile("results-"), root = root, experiments = list(P3 = list()), texts = list())
  dir.create(file.path(study$results, "tables"), recursive = TRUE)
  errata <- data.frame(
    id = c("a", "b", "c"), document = "thind", place = "7.4.2", kind = c("mistake", "appears", "holds"),
    words = "is <also> 0", so = "It is 1.", shown = "A step", numbers = "slope: 1; said: 0", see = c("P3", "M9", NA),
    confirmed = c("True", "False", NA) # as pandas writes them
  )
  write.csv(errata, file.path(study$results, "tables", "errata.csv"), row.names = FALSE)
  page <- paste(capture.output(write_errata(study)), collapse = "\n")
  expect_match(page, "is &lt;also&gt; 0", fixed = TRUE)
  expect_match(page, "Of 3 entries 1 are confirmed", fixed = TRUE)
  expect_match(page, "id=\"erratum-b\"", fixed = TRUE)
  for (words in c("\u2713 confirmed", "\u2717 not confirmed", "\u25cb not run")) expect_match(page, words, fixed = TRUE)
  expect_match(page, "href=\"#P3\"", fixed = TRUE)
  expect_no_match(page, "href=\"#M9\"", fixed = TRUE)
})

test_that("an experiment and a document name what is found about them elsewhere", {
  study <- list(
    results = tempfile("results-"), claims = data.frame(id = c("P3", "M2"), document = "thind"),
    experiments = list(P3 = list(document = "thind", title = "Euler"), M2 = list(document = "ulala", title = "a < b"))
  )
  expect_length(capture.output(write_errata_about(study, "M2")), 0)
  expect_match(paste(capture.output(write_also(study, "thind")), collapse = "\n"), "#M2\">M2</a> (a &lt; b)", fixed = TRUE)
  errata <- data.frame(
    id = c("thind_sum", "ulala_a"), document = c("thind", "ulala"), place = "2", kind = "mistake", words = "w", so = "s",
    shown = "s", numbers = "1", confirmed = "True", see = c("M2", "P3")
  )
  write_csv(errata, file.path(study$results, "tables", "errata.csv"))
  about <- paste(capture.output(write_errata_about(study, "M2")), collapse = "\n")
  expect_match(about, "1 erratum about this: <a href=\"#erratum-thind_sum\">", fixed = TRUE)
  expect_length(capture.output(write_errata_about(study, "P9")), 0)
  expect_match(paste(capture.output(write_also(study, "ulala")), collapse = "\n"), "#P3", fixed = TRUE)
})

test_that("the table of notation names every document in all columns, with indices and escapes", {
  documents <- names(yaml::read_yaml(file.path(root, "rscripts", "report", "texts.yaml"))$documents)
  study <- list(root = root, experiments = lapply(documents, function(document) list(document = document)))
  page <- paste(capture.output(write_notation(study)), collapse = "\n")
  for (document in documents) expect_match(page, paste0("href=\"#document-", document, "\""), fixed = TRUE)
  study$experiments <- study$experiments[1]
  expect_no_match(paste(capture.output(write_notation(study)), collapse = "\n"), paste0("#document-", documents[2]))
  expect_match(page, "a(t) = \u2212\u2202R/\u2202z(t)", fixed = TRUE)
  expect_match(page, "t<sub>0</sub> to t<sub>1</sub>", fixed = TRUE)
})

test_that("disagreements have every document's words, and link to the errata and to the runs that there are", {
  study <- list(results = tempfile("results-"), experiments = list(A3 = list()))
  expect_length(capture.output(write_disagreements(study)), 0)
  positions <- data.frame(
    id = c("sign", "sign", "layers"), question = c("Which sign?", "Which sign?", "What is a layer?"),
    document = c("thind", "slides", "ulala"), place = "4.1", words = c("a = <b>", "a = b", "many"), so = "Either.",
    errata = c("adjoint_sign", "adjoint_sign", "thind_ln"), see = c("A3 M9", "A3 M9", NA)
  )
  write_csv(positions, file.path(study$results, "tables", "disagreements.csv"))
  page <- paste(capture.output(write_disagreements(study)), collapse = "\n")
  expect_match(page, "2 questions", fixed = TRUE)
  expect_match(page, "a = &lt;b&gt;", fixed = TRUE)
  expect_equal(lengths(regmatches(page, gregexpr("Which sign", page, fixed = TRUE))), 1)
  expect_match(page, "Shown by <a href=\"#A3\">A3</a>, <a href=\"#erratum-adjoint_sign\">", fixed = TRUE)
  expect_match(page, "Shown by <a href=\"#erratum-thind_ln\">", fixed = TRUE)
  expect_no_match(page, "M9", fixed = TRUE)
})

test_that("steps of the figure have the methods' orders and limits of stability", {
  A <- rbind(c(-0.1, 1), c(-0.2, -0.1))
  exact <- exp(-0.1) * c(cos(sqrt(0.2)), -sqrt(0.2) * sin(sqrt(0.2)))
  error <- function(method, steps) max(abs(step_states(step_matrix(method, A / steps), steps)[steps + 1, ] - exact))
  orders <- vapply(names(STEP_METHODS), function(method) log2(error(method, 100) / error(method, 200)), numeric(1))
  expect_equal(unname(orders), c(1, 2, 1), tolerance = 0.02)
  radius <- function(method, Z) max(Mod(eigen(step_matrix(method, Z))$values))
  expect_equal(radius("euler", diag(-5, 2) * 0.4), 1)
  expect_equal(radius("heun", diag(-5, 2) * 0.4), 1)
  expect_lt(radius("euler", A * 0.95), 1)
  expect_gt(radius("euler", A * 0.96), 1)
  expect_lt(radius("implicit_euler", diag(-5, 2) * 100), 1)
})
