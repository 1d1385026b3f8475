# The table of every method's order, from the measurements that its figure draws.

#' Every method's declared and measured order; nothing for experiments that measure none.
write_orders <- function(study, id) {
  if (id != "P6") return(invisible())
  orders <- measured_orders(read_table(table_path(study, file.path("tables", id, "history.csv"))))
  decimals <- function(x) formatC(x, digits = 3, format = "f")
  cells <- list(
    paste0(
      "<code>", escape(orders$series), "</code><small>",
      escape(paste(orders$kind, orders$problem, sep = " \u00b7 ")), "</small>"
    ),
    escape(orders$order),
    paste0(
      escape(decimals(orders$slope)), "<small>", escape(decimals(orders$slope_low)), " to ",
      escape(decimals(orders$slope_high)), "</small>"
    ),
    ifelse(orders$within, "\u2713 yes", "\u2717 no")
  )
  heads <- c("Method", "Declared", "Measured", paste("Within", ORDER_TOLERANCE))
  counted <- paste0(
    "Orders of ", length(unique(orders$series)), " methods: ", sum(orders$within), " of ", nrow(orders),
    " measurements within ", ORDER_TOLERANCE, " of the declared order"
  )
  raw_html(html_details(
    counted, html_table(cells, heads, "orders", c(FALSE, TRUE, TRUE, FALSE)),
    "<p class=\"quiet\">Below each measured order its 95% confidence interval.</p>", of = id
  ))
}
