# How every figure of the study looks: one theme, one palette, one size.

library(ggplot2)

# Figures are drawn 12 cm wide: at that size, and on a telephone's screen, their words can be read.
FIGURE_WIDTH <- 12 / 2.54
FIGURE_HEIGHT <- 8.4 / 2.54
TEXT_SIZE <- 10

# Okabe and Ito's colours, which people with any colour vision can tell apart (jfly.uni-koeln.de/color).
PALETTE <- c(
  blue = "#0072B2", vermillion = "#D55E00", sea_green = "#009E73", orange = "#E69F00",
  purple = "#CC79A7", sky = "#56B4E9", yellow = "#F0E442", black = "#000000"
)
INK <- "#1f2933"
PALE <- "#9aa5b1"
GRID <- "#e8ecf0"

theme_study <- function() {
  theme_minimal(base_size = TEXT_SIZE, base_family = "sans") +
    theme(
      text = element_text(colour = INK),
      axis.text = element_text(colour = "#52606d", size = rel(0.85)),
      axis.title = element_text(size = rel(0.95)),
      axis.title.x = element_text(margin = margin(t = 5)),
      axis.title.y = element_text(margin = margin(r = 5)),
      panel.grid.major = element_line(colour = GRID, linewidth = 0.35),
      panel.grid.minor = element_blank(),
      panel.spacing = unit(11, "pt"),
      strip.text = element_text(face = "bold", hjust = 0, size = rel(0.95), margin = margin(b = 4)),
      legend.position = "top",
      legend.justification = "left",
      legend.margin = margin(0, 0, 0, 0),
      legend.box.spacing = unit(4, "pt"),
      legend.title = element_blank(),
      legend.key.height = unit(12, "pt"),
      plot.title.position = "plot",
      plot.subtitle = element_text(colour = "#8a4b00", size = rel(0.9), margin = margin(b = 6)),
      plot.margin = margin(6, 10, 6, 6)
    )
}

#' A label beside what it names, in the theme's type.
label_beside <- function(data, mapping, size = 0.85, ...) {
  geom_text(data = data, mapping = mapping, size = TEXT_SIZE * size / .pt, family = "sans", inherit.aes = FALSE, ...)
}

#' The same on a white ground, where it may lie over lines.
label_over <- function(data, mapping, size = 0.85, ...) {
  geom_label(
    data = data, mapping = mapping, size = TEXT_SIZE * size / .pt, family = "sans", inherit.aes = FALSE,
    label.size = 0, label.padding = unit(1.5, "pt"), fill = "#ffffffcc", ...
  )
}

# Ticks of counted things, such as epochs, are whole numbers.
whole_breaks <- function(n = 5) {
  function(limits) {
    ticks <- unique(round(pretty(limits, n)))
    ticks[ticks >= floor(limits[1]) & ticks <= ceiling(limits[2])]
  }
}

theme_set(theme_study())
