# Where the results come from, how to make them again, and how to cite them.

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
    Repeats = escape(repeats(about$runs)),
    Processor = escape(paste0(about$cpu, ", ", about$cores, " cores")),
    System = escape(about$platform),
    Versions = escape(paste(names(about$versions), unlist(about$versions), collapse = ", "))
  )))
  write_data(about$data)
  write_stages(about$stages, about$derivative_seconds)
  write_runs(about$runs)
  raw_html(html_details("Configuration", html_code(strsplit(yaml::as.yaml(about$configuration), "\n")[[1]])))
}

#' What the same seed repeats, by the devices of the runs.
repeats <- function(runs) {
  devices <- unique(vapply(runs, function(run) as.character(run$device), character(1)))
  gpus <- devices[!grepl("cpu$", devices)]
  if (!length(gpus)) {
    return("the same seed gives the same tables, to the bit, on a processor like this one with any number of cores")
  }
  paste0(
    "the same seed need not give the same digits on ", paste(gpus, collapse = ", "),
    ", where some operations add in any order; what is computed on a processor repeats to the bit"
  )
}

write_data <- function(data) {
  files <- do.call(rbind, lapply(data, function(set) {
    do.call(rbind, lapply(set$files, function(file) {
      sum <- if (is.null(file$sha256)) paste("MD5", file$md5) else paste("SHA-256", file$sha256)
      name <- if (is.null(file$file)) basename(file$path) else file$file
      data.frame(name = set$name, source = set$data_source, file = name, bytes = file$bytes, sum = sum)
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

STAGES <- c(
  data = "Data, downloaded and prepared (Python)", runs = "Runs: training, fits and computations (PyTorch)",
  tables = "Tables (Python)", errata = "Errata (Python)", figures = "Figures (R)", animations = "Animations (R)"
)

#' Where the time of the study went, stage by stage.
write_stages <- function(stages, derivative_seconds = NULL) {
  if (!length(stages)) return(invisible())
  column <- function(name) vapply(stages, function(stage) as.character(stage[[name]]), character(1))
  seconds <- function(name) vapply(stages, function(stage) format_seconds(stage[[name]]), character(1))
  names <- ifelse(column("stage") %in% names(STAGES), STAGES[column("stage")], column("stage"))
  cells <- list(escape(names), escape(column("jobs")), escape(seconds("seconds")), escape(seconds("cpu_seconds")))
  if (length(derivative_seconds) && derivative_seconds > 0) {
    last <- c("of which in training: the ODEs' derivatives and their gradients", "", format_seconds(derivative_seconds), "")
    # Behind the runs, whose part it is.
    cells <- Map(function(cell, added) append(cell, added, after = match("runs", column("stage"))), cells, escape(last))
  }
  raw_html(html_details("Where the time went", html_table(
    cells, c("Stage", "Jobs", "Time of all jobs", "Of the processor"), "", c(FALSE, TRUE, TRUE, TRUE)
  )))
}

write_runs <- function(runs) {
  if (!length(runs)) return(invisible())
  column <- function(name) vapply(runs, function(run) as.character(run[[name]]), character(1))
  seconds <- vapply(runs, function(run) format_seconds(run$seconds), character(1))
  # Older records name no variants.
  called <- vapply(runs, function(run) if (is.null(run$variant_name)) run$variant else run$variant_name, character(1))
  cells <- list(
    escape(column("experiment")), escape(called), escape(column("seed")), escape(seconds),
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
