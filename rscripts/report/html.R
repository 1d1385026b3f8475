# Pieces of HTML. Whatever comes from a file is escaped here and nowhere else.

#' Text made safe to stand in HTML; missing values become nothing.
escape <- function(text) {
  text <- enc2utf8(as.character(text))
  text[is.na(text)] <- ""
  htmltools::htmlEscape(text, attribute = TRUE)
}

#' The same, where `backticks` mark code.
escape_with_code <- function(text) gsub("`([^`]+)`", "<code>\\1</code>", escape(text))

#' Text made safe to stand in Markdown: every mark of punctuation is meant as such.
plain_markdown <- function(text) gsub("([[:punct:]])", "\\\\\\1", enc2utf8(text))

#' Write HTML into the page as it is; pandoc would read Markdown in it otherwise.
raw_html <- function(...) cat("\n\n```{=html}\n", ..., "\n```\n\n", sep = "")

#' A table that scrolls sideways where the screen is narrow.
#' @param cells list of character vectors, one a column, already HTML.
#' @param heads the columns' names, plain text.
html_table <- function(cells, heads, class = "", numeric = rep(FALSE, length(heads))) {
  align <- ifelse(numeric, " class=\"number\"", "")
  head <- paste0("<th scope=\"col\"", align, ">", escape(heads), "</th>", collapse = "")
  # Each cell knows its column's name, for narrow screens where the heads are not shown.
  labels <- paste0(" data-label=\"", escape(heads), "\"")
  columns <- Map(function(cell, side, label) paste0("<td", side, label, ">", cell, "</td>"), cells, align, labels)
  rows <- paste0("<tr>", do.call(paste0, unname(columns)), "</tr>", collapse = "\n")
  paste0(
    "<div class=\"table ", class, "\" tabindex=\"0\"><table><thead><tr>", head, "</tr></thead>\n<tbody>", rows,
    "</tbody></table></div>"
  )
}

#' Names and their values, one a line.
html_definitions <- function(values) {
  kept <- values[!vapply(values, is.null, logical(1))]
  paste0(
    "<dl>", paste0("<div><dt>", escape(names(kept)), "</dt><dd>", unlist(kept), "</dd></div>", collapse = "\n"), "</dl>"
  )
}

#' Something that opens when it is asked for. Printed, it is in the appendix, under its summary and whose it is (`of`).
html_details <- function(summary, ..., of = "") {
  paste0(
    "<details><summary><span class=\"fold\">", escape(summary), "</span></summary><div class=\"details\" data-title=\"",
    escape(summary), "\" data-of=\"", escape(of), "\">", ..., "</div></details>"
  )
}

html_code <- function(text) paste0("<pre><code>", paste(escape(text), collapse = "\n"), "</code></pre>")

#' A figure with its image inside the page, its title, place and caption; by its name the page links to it.
html_figure <- function(file, title, place, caption, name = NULL) {
  paste0(
    "<figure", if (length(name)) paste0(" id=\"figure-", escape(name), "\""), ">",
    "<img alt=\"", escape(paste(title, caption, sep = ". ")), "\" src=\"", knitr::image_uri(file), "\">",
    "<figcaption><strong>", escape(title), "</strong>",
    if (length(place)) paste0(" <span class=\"place\">", escape(place), "</span>"), "<br>", escape(caption),
    "</figcaption></figure>"
  )
}

#' A figure that moves, below the still one that it belongs to; where motion is not wanted, the still one is enough.
html_animation <- function(file, title) {
  paste0(
    "<figure class=\"animation\"><img loading=\"lazy\" alt=\"", escape(paste("Animation:", title)), "\" src=\"",
    knitr::image_uri(file), "\"><figcaption>The same, moving.</figcaption></figure>"
  )
}

#' MathML with parentheses no taller than the words around them: pandoc marks all as growing with what they enclose.
calm_parentheses <- function(lines) {
  inline <- gregexpr("<math display=\"inline\".*?</math>", lines, perl = TRUE)
  regmatches(lines, inline) <- lapply(regmatches(lines, inline), function(formula) {
    gsub("<mo stretchy=\"true\" form=\"(prefix|postfix)\">([()])</mo>", "<mo stretchy=\"false\" form=\"\\1\">\\2</mo>", formula)
  })
  lines
}
