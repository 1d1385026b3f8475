# Everything the report shows, read from the results folder and the study's own files.

# What the page reads of results/tables/claims.csv, and of those that are kept.
CLAIM_COLUMNS <- c(
  "id", "document", "place", "quantity", "headline", "variant", "metric", "epoch", "unit", "kind", "relation", "published",
  "reproduced", "ci_low", "ci_high", "n", "repeats", "verdict", "reason", "judged", "kept", "kept_in", "command"
)

#' Read what there is to report.
#' @param results the results folder; @param root the project's folder.
#' @return list(claims, metrics, provenance, figures, contents, experiments, rule, texts, citation, references, results, root).
read_study <- function(results, root) {
  experiments <- do.call(c, lapply(yaml_files(file.path(root, "pipeline", "experiments")), yaml::read_yaml))
  metric_files <- Sys.glob(file.path(results, "tables", "*", "metrics.csv"))
  metrics <- do.call(rbind, lapply(metric_files, function(file) {
    require_table(read_table(file), c("experiment", "variant", "seed", "quantity", "value"), file)
    table <- read_table(file)
    for (column in setdiff(c("unit", "data_source", "origin", "reduced"), names(table))) table[[column]] <- NA
    table[c("experiment", "variant", "seed", "quantity", "value", "unit", "data_source", "origin", "reduced")]
  }))
  claims_file <- file.path(results, "tables", "claims.csv")
  claims <- read_table(claims_file)
  require_table(claims, CLAIM_COLUMNS, claims_file)
  provenance <- jsonlite::read_json(file.path(results, "provenance.json"))
  # Those with results, in the order of the profile that ran them.
  ran <- unique(c(unlist(provenance$configuration$experiments), names(experiments)))
  list(
    results = results,
    claims = claims,
    metrics = metrics,
    provenance = provenance,
    figures = yaml::read_yaml(file.path(root, "pipeline", "report", "figures.yaml")),
    contents = yaml::read_yaml(file.path(root, "pipeline", "report", "contents.yaml")),
    root = root,
    experiments = experiments[intersect(ran, intersect(names(experiments), c(claims$id, metrics$experiment)))],
    references = read_references(root),
    rule = yaml::read_yaml(file.path(root, "pipeline", "claims", "verdicts.yaml")),
    texts = yaml::read_yaml(file.path(root, "rscripts", "report", "texts.yaml")),
    citation = yaml::read_yaml(file.path(root, "CITATION.cff"))
  )
}

yaml_files <- function(folder) sort(list.files(folder, "[.]ya?ml$", full.names = TRUE))

require_table <- function(table, columns, file) {
  missing <- setdiff(columns, names(table))
  if (length(missing)) stop(file, ": missing column ", paste(missing, collapse = ", "), call. = FALSE)
}

#' What must be known before any number is read: which results rest on simulated or incomplete data or on reduced runs.
#' @return data.frame(experiment, kind ("simulated", "incomplete" or "reduced"), words).
caveats <- function(study) {
  metrics <- study$metrics
  rows <- lapply(names(study$experiments), function(id) {
    own <- metrics[metrics$experiment == id, ]
    from <- function(origin) said(own[own$origin %in% origin, ], "data_source")
    words <- list(simulated = from("simulated"), incomplete = from("incomplete"), reduced = reduced_by_variant(own))
    data.frame(
      experiment = rep(id, sum(lengths(words))), kind = rep(names(words), lengths(words)),
      words = as.character(unlist(words))
    )
  })
  rows <- do.call(rbind, rows)
  rows[order(match(rows$kind, c("simulated", "incomplete", "reduced"))), ]
}

#' What was reduced in an experiment, and in which variants where it is not the same in all.
reduced_by_variant <- function(metrics) {
  words <- said(metrics, "reduced")
  if (length(words) < 2) return(words)
  variants <- vapply(words, function(word) {
    paste(variant_names(unique(metrics$variant[metrics$reduced %in% word]), metrics), collapse = ", ")
  }, character(1))
  paste(variants, words, sep = ": ")
}

#' How many claims there are of each verdict, in the order of the rule's words.
verdict_counts <- function(claims) table(factor(claims$verdict, names(VERDICT_LOOKS)))

#' The same in words: "2 reproduced, 0 not reproduced, 1 undecided, ...".
verdicts_in_words <- function(claims) {
  counts <- verdict_counts(claims)
  paste(counts, names(counts), collapse = ", ")
}

documents_of <- function(study) {
  found <- unique(vapply(study$experiments, `[[`, character(1), "document"))
  c(intersect(names(study$texts$documents), found), setdiff(found, names(study$texts$documents)))
}

#' The figures of an experiment that were drawn: list(name, file, title, place, caption, animation, left_out), facts filled in.
figures_of <- function(study, id) {
  own <- Filter(function(name) identical(study$figures[[name]]$experiment, id), names(study$figures))
  Filter(Negate(is.null), lapply(own, function(name) {
    file <- drawn_file(study, name)
    if (is.null(file)) return(NULL)
    figure <- study$figures[[name]]
    facts <- caption_facts(lapply(figure$data, function(path) read_table(table_path(study, path))))
    animation <- file.path(study$results, "figures", paste0(name, ".gif"))
    list(
      name = name, file = file, title = fill_facts(figure$title, facts), caption = fill_facts(figure$caption, facts),
      place = paste0("after ", figure$document, ", ", figure$place),
      left_out = isTRUE(figure$needs_size) && is_reduced(study, id),
      animation = if (isTRUE(figure$animated) && file.exists(animation)) animation
    )
  }))
}

#' Whether any run of an experiment is smaller than the document's.
is_reduced <- function(study, id) length(said(study$metrics[study$metrics$experiment == id, ], "reduced")) > 0

#' The file of a figure to show in the page: the vector drawing, or pixels where that would be larger.
drawn_file <- function(study, name) {
  file <- Sys.glob(file.path(study$results, "figures", paste0(name, ".", c("svg", "png"))))
  if (!length(file)) return(NULL)
  vector <- grepl("[.]svg$", file) & file.size(file) < 400e3
  if (any(vector)) file[vector][1] else file[length(file)]
}

#' Figures of no experiment, by a pattern of their names: list(file, title, place, caption).
loose_figures <- function(study, pattern) {
  files <- Sys.glob(file.path(study$results, "figures", paste0(pattern, ".", c("svg", "png"))))
  names <- sort(unique(tools::file_path_sans_ext(basename(files))))
  lapply(names, function(name) {
    words <- study$figures[[name]]
    title <- if (is.null(words)) gsub("_", " ", name) else words$title
    list(file = drawn_file(study, name), title = title, place = NULL, caption = if (is.null(words)) "" else words$caption)
  })
}

table_path <- function(study, path) {
  file.path(if (startsWith(path, "data/published/")) study$root else study$results, path)
}
