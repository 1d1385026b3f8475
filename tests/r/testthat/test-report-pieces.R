test_that("what comes from files is escaped", {
  expect_equal(escape("a <b> & \"c\""), "a &lt;b&gt; &amp; &quot;c&quot;")
  expect_equal(escape(NA), "")
  expect_match(html_code("<script>"), "&lt;script&gt;", fixed = TRUE)
})

test_that("numbers are written in their units", {
  expect_equal(format_value(c(98.7, 0.6412345, 208266, NA), c("%", "", "", "")), c("98.70\u00a0%", "0.6412", "208\u202f266", ""))
  expect_equal(format_published(c(43.483, 2, 1), c("%", "%", NA), c("=", "<", "=")), c("43.483\u00a0%", "<\u00a02\u00a0%", "1"))
  expect_equal(format_seconds(59.9), "59.9\u00a0s")
  expect_equal(format_seconds(734), "12\u00a0min")
  expect_equal(format_bytes(47040016), "47\u00a0MB")
})

test_that("verdicts are counted, also those that do not occur", {
  counts <- verdict_counts(data.frame(verdict = c("reproduced", "not comparable", "reproduced")))
  expect_equal(as.vector(counts), c(2, 0, 1))
})

test_that("punctuation in a title is not read as Markdown", {
  expect_equal(plain_markdown("y' = *y* <b>"), "y\\' \\= \\*y\\* \\<b\\>")
})
