page_of <- function(expression) paste(capture.output(expression), collapse = "\n")
root_with <- function(name, table) {
  root <- tempfile("root-")
  write_csv(table, file.path(root, "data", "reference", paste0(name, ".csv")))
  list(root = root, results = tempfile())
}
claim <- function(id, verdict, ...) {
  row <- data.frame(
    id, document = "thind", place = "1", quantity = "<b>quantity</b>", variant = "main", metric = "m", epoch = NA, unit = "%",
    headline = NA, kind = "printed", relation = "=", published = 54, reproduced = 71.25, ci_low = NA_real_,
    ci_high = NA_real_, n = 1, repeats = "seeds", reason = "r", judged = "this run", kept = NA_real_, kept_in = NA,
    command = NA, verdict
  )
  changes <- list(...)
  row[names(changes)] <- changes
  row
}
study_of <- function(claims) {
  titled <- function(id) list(title = paste("Title of", id), document = "thind", place = "1")
  ids <- c(unique(claims$id), "Z9")
  list(
    claims = claims, experiments = stats::setNames(lapply(ids, titled), ids), texts = list(documents = list(thind = list())),
    rule = yaml::read_yaml(file.path(root, "pipeline", "claims", "verdicts.yaml")), results = tempfile(),
    metrics = data.frame(
      experiment = "P3", variant = "main", seed = 1, quantity = "q", value = 1, unit = "", data_source = "computed",
      origin = "computed", reduced = NA
    )
  )
}

test_that("benchmarks are shown with intervals and whether the goal was reached", {
  rows <- data.frame(
    id = c("a", "b"), work = "a <step>", goal = "twice as fast", unit = "ms", value = c(3.25, NA), ci_low = c(3.1, NA),
    ci_high = c(3.4, NA), met = c(TRUE, NA), reason = c(NA, "no GPU here"), device = "a device",
    others = 0.125
  )
  root <- tempfile("root-")
  write_csv(rows, file.path(root, "data", "reference", "benchmarks", "goals.csv"))
  page <- page_of(write_benchmarks(list(root = root, results = tempfile())))
  told <- c("a &lt;step&gt;", "3.25\u00a0ms", "3.1\u00a0to 3.4", "reached", "not measured", "no GPU here")
  told <- c(told, "a device", "took 12.50\u00a0%")
  for (part in c("# Benchmarks", told)) {
    expect_match(page, part, fixed = TRUE)
  }
})

test_that("checks are shown with what they lost", {
  rows <- data.frame(
    check = "killed <hard>", tried = c(120, 5), lost = c(0, 2), figure = "largest error 1e-9", command = "make test",
    commit = "abc & changes", date = "2000-01-01"
  )
  page <- page_of(write_trust(root_with("trust", rows)))
  told <- c("killed &lt;hard&gt;", "none lost", "2 lost", "largest error 1e-9", "make test", "abc &amp; changes", "2000-01-01")
  for (part in c("# Trust", told)) {
    expect_match(page, part, fixed = TRUE)
  }
})

test_that("sections without their tables are left out, and wrong tables are refused by name", {
  for (write_section in list(write_benchmarks, write_trust)) {
    expect_length(capture.output(write_section(list(results = tempfile(), root = tempfile()))), 0)
  }
  expect_error(write_trust(root_with("trust", data.frame(check = "x"))), "trust.csv: missing column tried")
})

test_that("of what a GPU computed no report says that it repeats to the bit", {
  on <- function(...) lapply(c(...), function(device) list(experiment = "M1", device = device))
  expect_match(repeats(on("cpu", "2 × cpu")), "the same tables, to the bit")
  expect_match(repeats(list()), "the same tables, to the bit")
  expect_match(repeats(on("cpu", "Some GPU", "Some GPU")), "need not give the same digits on Some GPU,", fixed = TRUE)
})

test_that("a kept run stands beside this one, number by number", {
  root <- tempfile("root-")
  folder <- file.path(root, "data", "reference", "full")
  claims <- rbind(claim("P3", "reproduced", reproduced = 53.5, ci_low = 53, ci_high = 54, n = 3))
  write_csv(claims, file.path(folder, "claims.csv"))
  provenance <- list(
    device = "a <GPU>", commit = "abc", created = "2000-01-01", wall_seconds = 5, profile = "full",
    configuration = list(experiments = c("P3", "S1"), overrides = list(S1 = list(seeds = 1, dataset = list(train_images = 9))))
  )
  writeLines(jsonlite::toJSON(provenance, auto_unbox = TRUE), file.path(folder, "provenance.json"))
  references <- read_references(root)
  page <- page_of(write_claims(claim("P3", "not reproduced"), references))
  parts <- c("full profile, a &lt;GPU&gt;", "53.50\u00a0%", "53.00\u00a0to 54.00", "3 seeds", "71.25\u00a0%")
  for (part in parts) expect_match(page, part, fixed = TRUE)
  other <- page_of(write_claims(claim("N2", "reproduced"), references))
  expect_no_match(other, "full profile")
  expect_no_match(page, "older than the code|code not known")
  marked <- claim("P3", "not reproduced", older_than_code = "night full", unknown_code = NA)
  expect_match(page_of(write_claims(marked, references)), "3 seeds</small><small>older than the code</small>", fixed = TRUE)
  marked <- claim("P3", "not reproduced", older_than_code = "fuller", unknown_code = "full")
  expect_match(page_of(write_claims(marked, references)), "3 seeds</small><small>code not known</small>", fixed = TRUE)
  listed <- page_of(write_references(list(references = references)))
  parts <- c("1 reproduced", "P3, S1", "changed: S1: seeds 1, dataset train_images 9")
  for (part in parts) expect_match(listed, part, fixed = TRUE)
})

test_that("each kind of claim has a tile with its verdicts, and what failed is named", {
  claims <- rbind(
    claim("P3", "reproduced"), claim("N2", "not reproduced"), claim("N1", "undecided", kind = "statement"),
    claim("N1", "not run at size", kind = "cited"), claim("N1", "not comparable")
  )
  study <- study_of(claims)
  study$references <- list(full = list(profile = "full", claims = claims[1:2, ], provenance = list(device = "a <GPU>")))
  page <- page_of(write_summary(study))
  expect_length(gregexpr("class=\"tile plain\"", page)[[1]], 4)
  expect_match(page, "<b>3</b> Numbers printed in a document<br>.*1 reproduced.*1 not reproduced.*1 not comparable")
  expect_match(page, "<b>1</b> Statements<br>.*1 undecided")
  expect_match(page, "<b>0</b> Identities", fixed = TRUE)
  expect_match(page, "&lt;b&gt;quantity&lt;/b&gt;: <strong>71.25\u00a0%</strong> (published: 54\u00a0%)", fixed = TRUE)
  expect_match(page, "without a published number.*Z9")
  counted <- "1 reproduced, 1 not reproduced, 0 undecided, 0 not comparable, 0 not run at size"
  expect_match(page, paste0("of 2 numbers (full profile, a &lt;GPU&gt;) ", counted), fixed = TRUE)
  expect_match(page_of(write_experiments(study)), "href=\"#Z9\".*figure only")
})

test_that("the first screen says what was found, with its number, its verdict and a link, errata among it", {
  claims <- rbind(
    claim("P3", "reproduced", headline = "Value <at> 4"), claim("N2", "not reproduced"),
    claim("N1", "undecided", headline = "By a kept run", kind = "statement", judged = "kept run", kept = 9.5),
    claim("M1", "not run at size", headline = "Too small", reproduced = 12), claim("M2", "not run at size", headline = "Too")
  )
  study <- study_of(claims)
  study$texts$documents$thind$errata <- c("b", "missing")
  dir.create(file.path(study$results, "tables"), recursive = TRUE)
  errata <- data.frame(
    id = c("a", "b"), document = "thind", place = "1", kind = "mistake", words = "said", so = "it is <so>", shown = "s",
    numbers = "1", confirmed = c("False", "True"), see = NA
  )
  write_csv(errata, file.path(study$results, "tables", "errata.csv"))
  page <- page_of(write_findings(study))
  for (part in c(
    "Value &lt;at&gt; 4: <strong>71.25\u00a0%</strong> (published: 54\u00a0%).", "href=\"#P3\"",
    "By a kept run: <strong>9.50\u00a0%</strong>. <span", "<q>said</q> (1): it is &lt;so&gt;", "confirms <strong>1</strong>",
    "not run at size</span> <a href=\"#M1\">M1</a>, <a href=\"#M2\">M2</a>."
  )) expect_match(page, part, fixed = TRUE)
  for (part in c("N2", "Too small", "12.00")) expect_no_match(page, part, fixed = TRUE)
})

test_that("a first screen holds ten lines a document, and what is decided comes before what is not", {
  verdicts <- rep(c("undecided", "reproduced"), c(6, 9))
  claims <- do.call(rbind, lapply(seq_along(verdicts), function(k) claim("P3", verdicts[k], headline = paste0("Line", k))))
  study <- study_of(claims)
  study$texts$documents$thind$errata <- "b"
  expect_equal(sub(":.*", "", found_claims(study, "thind")), paste0("Line", 7:15))
})

test_that("the index has every section in the document's order, with what is found at its places or why nothing is", {
  study <- study_of(rbind(
    claim("P3", "reproduced", place = "7.4"), claim("N1", "undecided", place = "2.2"), claim("M2", "undecided", place = "2.2")
  ))
  study$experiments$M2$document <- "slides"
  study$contents <- list(thind = list(
    list(section = "1 <Intro>", nothing = "It announces."), list(section = "2 Networks", places = c("2.2", "Fig. 4")),
    list(section = "7 Primer", places = "7.4", experiments = "N1")
  ))
  study$figures <- list(loss = list(experiment = "N1", document = "thind", place = "Fig. 4"))
  dir.create(file.path(study$results, "figures"), recursive = TRUE)
  expect_length(capture.output(write_index(study, "ulala")), 0)
  expect_no_match(page_of(write_index(study, "thind")), "figure-loss")
  file.create(file.path(study$results, "figures", "loss.png"))
  errata <- data.frame(
    id = "thind_a_b", document = "thind", place = "2.2", kind = "mistake", words = "w", so = "s", shown = "s", numbers = "1",
    confirmed = "True", see = "P3"
  )
  write_csv(errata, file.path(study$results, "tables", "errata.csv"))
  expect_equal(experiments_of(study, "thind"), c("N1", "P3", "Z9"))
  rows <- strsplit(page_of(write_index(study, "thind")), "<tr>", fixed = TRUE)[[1]][-(1:2)]
  expect_match(rows[1], "1 &lt;Intro&gt;.*Nothing. It announces")
  for (part in c(
    "#N1", "? 1 undecided", "(under slides)", "href=\"#figure-loss\">loss", "Erratum: <a href=\"#erratum-thind_a_b\">a b<", "#P3"
  )) expect_match(rows[2], part, fixed = TRUE)
  expect_match(rows[3], "#N1.*#P3.*1 reproduced")
})

test_that("a figure that needs the document's size is left out of a reduced run, with its title and file", {
  study <- study_of(claim("P3", "not run at size"))
  study$figures <- list(loss = list(
    experiment = "P3", document = "thind", place = "Fig. 4", title = "A <title>", caption = "c", needs_size = TRUE,
    data = list(history = "tables/P3/history.csv")
  ))
  history <- data.frame(seed = 1, data_source = "an invented table", origin = "computed", reduced = NA)
  write_csv(history, file.path(study$results, "tables", "P3", "history.csv"))
  dir.create(file.path(study$results, "figures"), recursive = TRUE)
  writeBin(as.raw(1:9), file.path(study$results, "figures", "loss.png"))
  page <- function() page_of(lapply(figures_of(study, "P3"), write_figure))
  expect_match(page(), "<figure id=\"figure-loss\"><img", fixed = TRUE)
  study$metrics$reduced <- "2 of 160 epochs"
  expect_match(page(), "id=\"figure-loss\">Left out: the figure .A &lt;title&gt;.*figures/loss.png")
  expect_no_match(page(), "<img", fixed = TRUE)
})

test_that("the derivation of the adjoint is within the page, with no link to a file beside it", {
  page <- page_of(write_adjoint(list(root = root)))
  expect_match(page, "^\\s*# The adjoint method[^\n]* \\{#adjoint\\}")
  expect_no_match(page, "](../", fixed = TRUE)
  expect_match(page, "`pipeline/compute/adjoint.py`", fixed = TRUE)
  expect_equal(lengths(regmatches(page, gregexpr("qquad \\([0-9]+\\)\\$\\$", page))), 12)
  expect_no_match(page, "\\tag", fixed = TRUE)
})

test_that("the rule is printed in the words of its file, and a verdict by a kept run says so", {
  study <- study_of(claim("P3", "reproduced"))
  page <- page_of(write_rule(study))
  for (words in unlist(study$rule[c("verdicts", "rule")])) expect_match(page, escape(words), fixed = TRUE)
  kept <- page_of(write_claims(claim("P3", "undecided", judged = "kept run", kept_in = "full")))
  expect_match(kept, "by the kept run (full): r", fixed = TRUE)
})

test_that("a reason that many rows of a table share is said once, above it", {
  many <- do.call(rbind, rep(list(claim("S3", "not comparable", reason = "another <network>")), 3))
  page <- page_of(write_claims(rbind(many, claim("S3", "undecided", reason = "its own"))))
  expect_equal(lengths(regmatches(page, gregexpr("another &lt;network&gt;", page, fixed = TRUE))), 1)
  expect_match(page, "3 not comparable</span>: another &lt;network&gt;\\.</p>.*<table>.*<small>its own</small>")
})

test_that("a parenthesis in a line of text stays as tall as its line", {
  paren <- '<mo stretchy="true" form="prefix">(</mo>'
  lines <- c(paste0('<p><math display="inline">', paren, "</math></p>"), paste0('<math display="block">', paren, "</math>"))
  expect_equal(grepl("stretchy=\"false\"", calm_parentheses(lines), fixed = TRUE), c(TRUE, FALSE))
})

test_that("the head names simulated, incomplete and reduced runs, and nothing where all is whole", {
  metrics <- data.frame(
    experiment = c("N2", "M5", "M1"), data_source = c("made images", "CIFAR-10, trained on 1", "MNIST"),
    origin = c("simulated", "incomplete", "real"), reduced = c(NA, NA, "9 of 20 epochs")
  )
  study <- function(metrics) list(metrics = metrics, experiments = list(N2 = list(), M5 = list(), M1 = list()))
  expect_equal(caveats(study(metrics))$kind, c("simulated", "incomplete", "reduced"))
  expect_match(caveats_html(study(metrics)), "Incomplete data")
  differing <- data.frame(
    experiment = "M5", variant = c("adam", "adam", "baseline"),
    variant_name = c("one more layer, Adam", "one more layer, Adam", "baseline"), data_source = NA, origin = "real",
    reduced = c("2 of 200 epochs", "2 of 200 epochs", "2 of 160 epochs")
  )
  expect_equal(caveats(study(differing))$words, c("one more layer, Adam: 2 of 200 epochs", "baseline: 2 of 160 epochs"))
  whole <- data.frame(experiment = "M1", data_source = "MNIST", origin = "real", reduced = NA)
  expect_equal(caveats_html(study(whole)), "")
})
