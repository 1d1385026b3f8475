# Runs kept with the project, beside the one that the page is of: data/reference/<profile>/claims.csv, in the columns of
# results/tables/claims.csv, and provenance.json, as results/provenance.json. Shown where they exist. Which of them are older
# than the code, this run's claims.csv says: profiles between spaces in the columns older_than_code and unknown_code.

# What tells one measurement from another: several claims may be about the same.
MEASURED <- c("id", "variant", "metric", "epoch")

#' The kept runs by profile: list(profile, claims, provenance).
read_references <- function(root) {
  folders <- dirname(Sys.glob(file.path(root, "data", "reference", "*", "claims.csv")))
  kept <- lapply(folders, function(folder) {
    file <- file.path(folder, "claims.csv")
    claims <- read_table(file)
    require_table(claims, CLAIM_COLUMNS, file)
    list(profile = basename(folder), claims = claims, provenance = jsonlite::read_json(file.path(folder, "provenance.json")))
  })
  stats::setNames(kept, basename(folders))
}

measured_keys <- function(claims) do.call(paste, c(lapply(MEASURED, function(name) claims[[name]]), sep = "\r"))

#' What a kept run found for each of `claims`, as HTML cells; NULL where it has none of them.
reference_cells <- function(reference, claims) {
  rows <- reference$claims[match(measured_keys(claims), measured_keys(reference$claims)), ]
  if (all(is.na(rows$reproduced))) return(NULL)
  found <- paste0(with_interval(rows$reproduced, rows$ci_low, rows$ci_high, rows$unit), values_said(rows$n, rows$repeats))
  ifelse(is.na(rows$reproduced), "\u2013", paste0(found, age_said(claims, reference$profile)))
}

#' What this run says of the age of what a profile keeps about each claim; nothing where the code is the same.
age_said <- function(claims, profile) {
  among <- function(column) {
    words <- if (column %in% names(claims)) as.character(claims[[column]]) else rep("", nrow(claims))
    vapply(strsplit(ifelse(is.na(words), "", words), " ", fixed = TRUE), function(names) profile %in% names, logical(1))
  }
  words <- ifelse(among("older_than_code"), "older than the code", ifelse(among("unknown_code"), "code not known", ""))
  ifelse(nzchar(words), paste0("<small>", words, "</small>"), "")
}

reference_head <- function(reference) paste0(reference$profile, " profile, ", reference$provenance$device)

#' What the kept runs are: profile, device, commit, time and verdicts.
write_references <- function(study) {
  if (!length(study$references)) return(invisible())
  cat(
    "\n\n# Reference runs {#reference}\n\n",
    "Larger runs of the same study, kept with it; their numbers stand beside this run's in the tables above. ",
    "\u201cOlder than the code\u201d marks a number where the library, the run's own function or its settings have changed ",
    "since it was computed; \u201ccode not known\u201d one that was kept without a record of them.\n\n",
    sep = ""
  )
  field <- function(name, write = as.character) {
    vapply(study$references, function(run) escape(write(run$provenance[[name]])), character(1))
  }
  counts <- vapply(study$references, function(run) verdict_badges(verdict_counts(run$claims)), character(1))
  changed <- field("configuration", function(configuration) {
    words <- vapply(configuration$overrides, function(values) {
      values <- unlist(values)
      paste(gsub(".", " ", names(values), fixed = TRUE), values, collapse = ", ")
    }, character(1))
    paste(names(words), words, sep = ": ", collapse = "; ")
  })
  run <- field("configuration", function(configuration) paste(configuration$experiments, collapse = ", "))
  cells <- list(
    paste0(
      escape(names(study$references)), "<small>commit <code>", substr(field("commit"), 1, 10), "</code>, ",
      substr(field("created"), 1, 10), "</small>"
    ),
    paste0(run, ifelse(nzchar(changed), paste0("<small>changed: ", changed, "</small>"), "")),
    field("device"), field("wall_seconds", format_seconds), counts
  )
  headings <- c("Profile", "Experiments", "Device", "Time of all runs", "Numbers and statements")
  raw_html(html_table(unname(cells), headings, "", c(FALSE, FALSE, FALSE, TRUE, FALSE)))
}
