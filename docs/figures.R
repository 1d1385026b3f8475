# What R runs first when this site is built (R_PROFILE_USER): figures for a light page and for a dark one, as matplotlibrc
# has them. The ground is the page's, lines and words are of middle grey.

local({
  grey <- "#787878"
  grDevices::palette(c(grey, grDevices::palette()[-1]))
  setHook("before.plot.new", function(...) {
    graphics::par(fg = grey, col = grey, col.axis = grey, col.lab = grey, col.main = grey, col.sub = grey)
  })
})
