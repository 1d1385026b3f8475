# What the study has about each section of a document, in the document's own order: pipeline/report/contents.yaml names the
# sections and their places, by which claims, errata and figures are found.

#' The rows of a table with the columns document and place that are of a section.
rows_at <- function(table, document, section) table[table$document %in% document & table$place %in% section$places, ]

#' The figures of a section that were drawn, as data.frame(name, experiment, document, place).
figures_at <- function(study, document, section) {
  field <- function(name) vapply(study$figures, function(figure) as.character(c(figure[[name]], NA)[1]), character(1))
  figures <- data.frame(
    name = as.character(names(study$figures)), experiment = field("experiment"), document = field("document"),
    place = field("place")
  )
  found <- rows_at(figures, document, section)
  found[!vapply(found$name, function(name) is.null(drawn_file(study, name)), logical(1)), ]
}

#' The experiments that are about a section, of this document or of another, in the order in which they are found.
experiments_at <- function(study, document, section, errata = NULL) {
  found <- c(
    section$experiments, figures_at(study, document, section)$experiment, rows_at(study$claims, document, section)$id,
    rows_at(errata, document, section)$see
  )
  intersect(found, names(study$experiments))
}

#' The experiments of a document in the order of its sections; those about none of them come last.
experiments_of <- function(study, document) {
  own <- Filter(function(id) study$experiments[[id]]$document == document, names(study$experiments))
  order_of <- unlist(lapply(study$contents[[document]], function(section) experiments_at(study, document, section)))
  c(intersect(order_of, own), setdiff(own, order_of))
}

#' The index of a document: its section, and beside it what the study has; nothing where no contents are known.
write_index <- function(study, document) {
  sections <- study$contents[[document]]
  if (!length(sections)) return(invisible())
  errata <- read_errata(study)
  cells <- list(
    escape(vapply(sections, `[[`, character(1), "section")),
    vapply(sections, function(section) section_html(study, document, section, errata), character(1))
  )
  raw_html(html_table(cells, c("Section of the document", "What the study has"), "index"))
}

#' What the study has about one section: its experiments with their verdicts, its figures and its errata.
section_html <- function(study, document, section, errata) {
  if (!is.null(section$nothing)) return(paste0("<span class=\"quiet\">Nothing. ", escape(section$nothing), "</span>"))
  claims <- rows_at(study$claims, document, section)
  experiments <- vapply(experiments_at(study, document, section, errata), function(id) {
    experiment <- study$experiments[[id]]
    counts <- verdict_counts(claims[claims$id == id, ])
    under <- paste0(" <span class=\"quiet\">(under ", escape(experiment$document), ")</span>")
    other <- if (experiment$document != document) under
    paste0("<div>", link_to(id), " ", escape(experiment$title), other, " ", verdict_badges(counts[counts > 0]), "</div>")
  }, character(1))
  figures <- figures_at(study, document, section)
  own <- rows_at(errata, document, section)
  parts <- c(
    experiments,
    listed("Figure", "#figure-", figures$name),
    # The errata of a document are named after it, which its own index need not say again.
    listed("Erratum", "#erratum-", own$id, sub(paste0("^", document, "_"), "", own$id), several = "Errata")
  )
  if (length(parts)) paste(parts, collapse = "") else "<span class=\"quiet\">Not in this run.</span>"
}

#' A line of links of one kind; none for none.
listed <- function(one, anchor, ids, names = ids, several = paste0(one, "s")) {
  if (!length(ids)) return(NULL)
  links <- paste0("<a href=\"", anchor, escape(ids), "\">", escape(gsub("_", " ", names)), "</a>", collapse = ", ")
  paste0("<small>", if (length(ids) == 1) one else several, ": ", links, "</small>")
}
