# How numbers are written: as many digits as say something.

#' A measured value in its unit: percent to two decimals, counts whole, others to four significant digits.
format_value <- function(value, unit = "", show_unit = TRUE) {
  unit[is.na(unit)] <- ""
  text <- mapply(function(x, u) {
    if (is.na(x)) return("")
    if (is.infinite(x)) return(if (x > 0) "\u221e" else "\u2212\u221e")
    if (u %in% c("%", "percent", "points")) return(formatC(x, digits = 2, format = "f"))
    if (x == round(x) && abs(x) < 1e15) return(formatC(x, digits = 0, format = "f", big.mark = "\u202f"))
    format(signif(x, 4), scientific = abs(x) < 1e-4 || abs(x) >= 1e7)
  }, value, unit, USE.NAMES = FALSE)
  text <- in_print(text)
  if (show_unit) with_unit(text, unit) else text
}

#' A number as people write it: with a minus, and a power of ten where a program writes "e-10".
in_print <- function(text) {
  text <- sub("^-", "\u2212", text)
  small <- grepl("e[+-][0-9]+$", text)
  power <- as.integer(sub("^.*e", "", text[small]))
  text[small] <- paste0(sub("e.*$", "", text[small]), "\u00a0\u00d7\u00a010", raised(power))
  text
}

RAISED <- "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"

raised <- function(numbers) chartr("-0123456789", RAISED, numbers)

#' A published value with all of its digits.
format_published <- function(value, unit = "", relation = "=") {
  sign <- ifelse(relation == "=", "", paste0(relation, "\u00a0"))
  unit[is.na(unit)] <- ""
  # Each by itself: together, all would be written with the digits, or the power of ten, that one of them needs.
  text <- vapply(value, format, character(1), digits = 10, trim = TRUE, drop0trailing = TRUE, scientific = 6, big.mark = "\u202f")
  paste0(sign, with_unit(in_print(text), unit))
}

# How units are written where our tables spell them out.
UNITS <- c(percent = "%", count = "", fraction = "", relative = "")

with_unit <- function(text, unit) {
  unit <- ifelse(unit %in% names(UNITS), UNITS[unit], unit)
  unit <- ifelse(text == "1" & unit == "evaluations", "evaluation", unit)
  # Units that are words may stand on the next line.
  ifelse(nzchar(unit) & nzchar(text), paste0(text, ifelse(nchar(unit) > 6, " ", "\u00a0"), unit), text)
}

#' A length of time in the units that people use.
format_seconds <- function(seconds) {
  if (length(seconds) != 1 || is.na(seconds)) return("")
  if (seconds < 100) return(paste0(signif(seconds, 3), "\u00a0s"))
  minutes <- round(seconds / 60)
  if (minutes < 100) return(paste0(minutes, "\u00a0min"))
  paste0(round(seconds / 3600, 1), "\u00a0h")
}

format_bytes <- function(bytes) {
  units <- c("B", "kB", "MB", "GB")
  power <- pmin(pmax(floor(log(pmax(bytes, 1), 1000)), 0), 3)
  paste0(signif(bytes / 1000^power, 3), "\u00a0", units[power + 1])
}
