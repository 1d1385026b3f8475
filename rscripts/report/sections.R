# The parts of the page, each written from the study that read_study() returns.

MARKS <- c(reproduced = "\u2713", `not reproduced` = "\u2717", `not comparable` = "\u25cb")
CLASSES <- c(reproduced = "good", `not reproduced` = "bad", `not comparable` = "open")

verdict_badge <- function(verdict, text = verdict) {
  known <- verdict %in% names(MARKS)
  mark <- ifelse(known, MARKS[verdict], "")
  class <- ifelse(known, CLASSES[verdict], "open")
  paste0("<span class=\"verdict ", class, "\">", mark, " ", escape(text), "</span>")
}

#' The head of the page below its title: which run this is, and a box of what is simulated and what is reduced.
head_html <- function(study) {
  about <- study$provenance
  run <- paste0(
    "<p class=\"source\">Profile ", escape(about$profile), " \u00b7 ", escape(substr(about$created, 1, 10)), " \u00b7 commit <code>",
    escape(substr(about$commit, 1, 10)), "</code></p>"
  )
  rows <- caveats(study)
  if (is.null(rows) || !nrow(rows)) return(run)
  lines <- vapply(split(rows, factor(paste(rows$kind, rows$words), unique(paste(rows$kind, rows$words)))), function(part) {
    links <- paste0("<a href=\"#", escape(part$experiment), "\">", escape(part$experiment), "</a>", collapse = ", ")
    lead <- if (part$kind[1] == "simulated") "Simulated data" else "Reduced"
    paste0("<li><strong>", lead, "</strong> in ", links, ": ", escape(part$words[1]), ".</li>")
  }, character(1))
  paste0(
    run, "<aside class=\"caveats\" role=\"note\"><p><strong>Read this first.</strong> Not everything here was run as the ",
    "documents ran it. Numbers from simulated data say nothing of the real ones.</p><ul>",
    paste(lines, collapse = "\n"), "</ul></aside>"
  )
}

#' The counts of verdicts, and a line for each experiment.
write_summary <- function(study) {
  counts <- verdict_counts(study$claims)
  tiles <- paste0(
    "<div class=\"tile ", CLASSES[names(counts)], "\"><b>", counts, "</b> ", MARKS[names(counts)], " ",
    escape(names(counts)), "</div>", collapse = "\n"
  )
  ids <- names(study$experiments)
  titles <- vapply(study$experiments, `[[`, character(1), "title")
  outcome <- vapply(ids, function(id) {
    own <- verdict_counts(study$claims[study$claims$id == id, ])
    own <- own[own > 0]
    if (!length(own)) return("<span class=\"quiet\">figure only</span>")
    paste(verdict_badge(names(own), paste(own, names(own))), collapse = " ")
  }, character(1))
  links <- paste0("<a href=\"#", escape(ids), "\">", escape(ids), "</a>")
  documents <- vapply(study$experiments, `[[`, character(1), "document")
  cells <- list(links, escape(titles), escape(documents), outcome)
  raw_html(
    "<div class=\"tiles\">", tiles, "</div>",
    html_table(cells, c("", "Experiment", "Document", "Published numbers"), "summary")
  )
}

#' Everything of one document: what it is, and each of its experiments.
write_document <- function(study, document) {
  about <- study$texts$documents[[document]]
  title <- if (is.null(about)) document else about$title
  cat("\n\n# ", plain_markdown(title), " {#document-", document, "}\n\n", sep = "")
  if (!is.null(about)) {
    raw_html("<p class=\"source\">", escape(paste(c(about$author[nzchar(about$author)], document), collapse = " \u00b7 ")), "</p>")
    cat(about$text, "\n\n")
  }
  for (id in experiments_of(study, document)) write_experiment(study, id)
}

write_experiment <- function(study, id) {
  experiment <- study$experiments[[id]]
  cat("\n\n## ", id, " \u00b7 ", plain_markdown(experiment$title), " {#", id, "}\n\n", sep = "")
  raw_html("<p class=\"source\">", escape(paste0(experiment$document, ", ", experiment$place)), own_caveats(study, id), "</p>")
  if (!is.null(study$texts$experiments[[id]])) cat(study$texts$experiments[[id]], "\n\n")
  claims <- study$claims[study$claims$id == id, ]
  if (nrow(claims)) write_claims(claims)
  for (figure in figures_of(study, id)) {
    raw_html(html_figure(figure$file, figure$title, figure$place, figure$caption))
  }
  write_orders(study, id)
  write_measured(study, id, claims)
}

own_caveats <- function(study, id) {
  rows <- caveats(study)
  rows <- rows[rows$experiment == id, ]
  if (!nrow(rows)) return("")
  words <- ifelse(rows$kind == "reduced", paste("reduced:", rows$words), rows$words)
  paste0(" <span class=\"caveat\">", escape(words), "</span>", collapse = "")
}

#' Published and reproduced side by side.
write_claims <- function(claims) {
  reproduced <- format_value(claims$reproduced, claims$unit)
  spread <- ifelse(
    is.na(claims$ci_low), "",
    paste0(
      "<small>", escape(format_value(claims$ci_low, claims$unit, FALSE)), " to ",
      escape(format_value(claims$ci_high, claims$unit, FALSE)), "</small>"
    )
  )
  seeds <- ifelse(is.na(claims$n_seeds) | claims$n_seeds < 2, "", paste0("<small>", claims$n_seeds, " seeds</small>"))
  cells <- list(
    paste0(escape(claims$quantity), "<small>", escape(claims$place), "</small>"),
    escape(format_published(claims$published, claims$unit, claims$relation)),
    paste0(ifelse(nzchar(reproduced), escape(reproduced), "\u2013"), spread, seeds),
    paste0(verdict_badge(claims$verdict), "<small>", escape(claims$reason), "</small>")
  )
  raw_html(html_table(
    cells, c("Quantity", "Published", "Reproduced", "Verdict"), "claims", c(FALSE, TRUE, TRUE, FALSE)
  ))
}

#' Every measured quantity, and the command that measures it, for those who ask.
write_measured <- function(study, id, claims) {
  own <- study$metrics[study$metrics$experiment == id, ]
  if (!nrow(own)) return(invisible())
  key <- factor(paste(own$variant, own$quantity), unique(paste(own$variant, own$quantity)))
  parts <- split(own, key)
  first <- do.call(rbind, lapply(parts, function(part) part[1, ]))
  mean <- vapply(parts, function(part) mean(part$value), numeric(1))
  spread <- vapply(parts, function(part) {
    ends <- unique(format_value(range(part$value), part$unit[c(1, 1)], FALSE))
    if (length(ends) < 2) "" else paste(ends, collapse = " to ")
  }, character(1))
  cells <- list(
    escape(variant_names(first$variant)), escape(gsub("_", " ", first$quantity)), escape(format_value(mean, first$unit)),
    escape(spread)
  )
  heads <- c("Variant", "Quantity", "Mean", "Range over seeds")
  # Columns that would say nothing are left out.
  keep <- c(length(unique(own$variant)) > 1, TRUE, TRUE, any(nzchar(spread)))
  commands <- unique(claims$command[!is.na(claims$command)])
  raw_html(html_details(
    "All measured quantities and how to measure them again",
    html_table(cells[keep], heads[keep], "", c(FALSE, FALSE, TRUE, TRUE)[keep]),
    "<p class=\"quiet\">Data: ", escape(paste(said(own, "data_source"), collapse = "; ")), ".</p>",
    if (length(commands)) html_code(commands)
  ))
}

#' Commit, configuration, data, versions, device and times.
write_provenance <- function(study) {
  about <- study$provenance
  changed <- if (isTRUE(about$dirty)) " <span class=\"caveat\">with uncommitted changes</span>" else ""
  raw_html(html_definitions(list(
    Commit = paste0("<code>", escape(about$commit), "</code>", changed),
    Profile = escape(about$profile),
    Made = escape(gsub("T", " ", about$created)),
    `Time of all runs` = escape(format_seconds(about$wall_seconds)),
    Device = escape(about$device),
    Processor = escape(paste0(about$cpu, ", ", about$cores, " cores")),
    System = escape(about$platform),
    Versions = escape(paste(names(about$versions), unlist(about$versions), collapse = ", "))
  )))
  write_data(about$data)
  write_runs(about$runs)
  raw_html(html_details("Configuration", html_code(strsplit(yaml::as.yaml(about$configuration), "\n")[[1]])))
}

write_data <- function(data) {
  files <- do.call(rbind, lapply(data, function(set) {
    do.call(rbind, lapply(set$files, function(file) {
      sum <- if (is.null(file$sha256)) paste("MD5", file$md5) else paste("SHA-256", file$sha256)
      data.frame(name = set$name, source = set$data_source, file = basename(file$path), bytes = file$bytes, sum = sum)
    }))
  }))
  if (is.null(files)) return(invisible())
  cells <- list(
    paste0(escape(files$name), "<small>", escape(files$source), "</small>"), escape(files$file),
    escape(format_bytes(files$bytes)), paste0("<code>", escape(files$sum), "</code>")
  )
  raw_html(html_details("Data files and their checksums", html_table(
    cells, c("Data", "File", "Size", "Checksum"), "sums", c(FALSE, FALSE, TRUE, FALSE)
  )))
}

write_runs <- function(runs) {
  if (!length(runs)) return(invisible())
  column <- function(name) vapply(runs, function(run) as.character(run[[name]]), character(1))
  seconds <- vapply(runs, function(run) format_seconds(run$seconds), character(1))
  cells <- list(
    escape(column("experiment")), escape(variant_names(column("variant"))), escape(column("seed")), escape(seconds),
    escape(column("device")), escape(column("threads"))
  )
  raw_html(html_details("Time of each training run", html_table(
    cells, c("Experiment", "Variant", "Seed", "Time", "Device", "Threads"), "",
    c(FALSE, FALSE, TRUE, TRUE, FALSE, TRUE)
  )))
}

#' The commands that make all this again.
write_commands <- function(study) {
  profile <- study$provenance$profile
  option <- if (profile == "default") "" else paste0(" --configfile pipeline/config/", profile, ".yaml")
  raw_html(html_code(c(
    paste("git checkout", study$provenance$commit),
    if (nzchar(option)) paste0("make study OPTIONS=\"", trimws(option), "\"") else "make study",
    "", "# or, where everything is installed already:",
    paste0("snakemake --cores", option)
  )))
}

write_citation <- function(study) {
  cited <- study$citation
  authors <- vapply(cited$authors, function(author) {
    paste(unlist(author[c("name", "given-names", "family-names")]), collapse = " ")
  }, character(1))
  raw_html(
    "<p>", escape(paste0(paste(authors, collapse = ", "), ". ", cited$title, ". Version ", cited$version, ".")), "</p>"
  )
  about <- Filter(Negate(is.null), study$texts$documents[documents_of(study)])
  lines <- vapply(names(about), function(key) {
    document <- about[[key]]
    text <- paste(c(document$author[nzchar(document$author)], document$title), collapse = ". ")
    paste0("<li><b>", escape(key), "</b>: ", escape(text), ".</li>")
  }, character(1))
  raw_html("<p>The documents under study:</p><ul>", paste(lines, collapse = "\n"), "</ul>")
}
