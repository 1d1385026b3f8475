# A figure whose step the reader chooses: three methods on radioactive decay and on the spiral. What is drawn here is the
# still that a printed page, or a browser without scripts, shows; step_size.js draws it again.

STEP_SHOWN <- 0.25
STEP_METHODS <- c(euler = "Euler", heun = "Heun", implicit_euler = "Implicit Euler")
STEP_COLOURS <- c(euler = "#D55E00", heun = "#0072B2", implicit_euler = "#009E73")
# Where a problem is drawn: one unit of the state is `height` high; `phase` draws the second component over the first.
STEP_PROBLEMS <- list(
  decay = list(
    title = "Decay, y' = \u22125y: y over time", A = diag(-5, 2), end = 3, left = 10, width = 280, bottom = 130, height = 80,
    phase = FALSE
  ),
  spiral = list(
    title = "Spiral, y' = (\u22120.1, 1; \u22120.2, \u22120.1) y: y\u2082 over y\u2081",
    A = rbind(c(-0.1, 1), c(-0.2, -0.1)), end = 25, left = 140, width = 110, bottom = 130, height = 110, phase = TRUE
  )
)

#' What one step of a method multiplies the state of y' = A y by; Z is the step times A.
step_matrix <- function(method, Z) {
  one <- diag(2)
  switch(method, euler = one + Z, heun = one + Z + Z %*% Z / 2, implicit_euler = solve(one - Z))
}

#' The states of a linear problem from (1, 0), a row a step.
step_states <- function(matrix, steps) {
  states <- matrix(c(1, 0), steps + 1, 2, byrow = TRUE)
  for (k in seq_len(steps)) states[k + 1, ] <- matrix %*% states[k, ]
  states
}

step_points <- function(states, step, problem) {
  time <- step * (seq_len(nrow(states)) - 1)
  x <- if (problem$phase) problem$left + states[, 1] * problem$width else problem$left + time * problem$width / problem$end
  y <- problem$bottom - (if (problem$phase) states[, 2] else states[, 1]) * problem$height
  paste(sprintf("%.1f,%.1f", x, y), collapse = " ")
}

step_panel <- function(name) {
  problem <- STEP_PROBLEMS[[name]]
  line <- function(method, step, colour, width, known = "") {
    steps <- round(problem$end / step)
    points <- step_points(step_states(method(problem$A * step), steps), step, problem)
    paste0("<polyline", known, " points=\"", points, "\" fill=\"none\" stroke=\"", colour, "\" stroke-width=\"", width, "\"/>")
  }
  # Heun's error at this step is far below what can be seen.
  exact <- line(function(Z) step_matrix("heun", Z), problem$end / 2000, "#9aa5b1", 4)
  drawn <- vapply(names(STEP_METHODS), function(method) {
    known <- paste0(" data-method=\"", method, "\"")
    line(function(Z) step_matrix(method, Z), STEP_SHOWN, STEP_COLOURS[[method]], 1.6, known)
  }, character(1))
  data <- jsonlite::toJSON(problem[setdiff(names(problem), "title")], auto_unbox = TRUE, digits = NA)
  # In the drawing itself, so that print keeps its colours.
  keys <- paste0(
    "<tspan dx=\"8\" fill=\"", c("#697683", STEP_COLOURS), "\">\u2014 ", c("Exact", STEP_METHODS), "</tspan>", collapse = ""
  )
  zero <- "<line x1=\"0\" x2=\"300\" y1=\"130\" y2=\"130\" stroke=\"#e1e6eb\"/>"
  paste0(
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 310 270\" role=\"img\" aria-label=\"",
    escape(problem$title), ", by three methods and exact\">", zero, "<g data-problem=\"", escape(data), "\">", exact,
    paste(drawn, collapse = ""), "</g><text x=\"0\" y=\"14\" font-size=\"12\" font-family=\"sans-serif\" ",
    "paint-order=\"stroke\" stroke=\"#fff\" stroke-width=\"5\">",
    escape(problem$title), "</text><text x=\"0\" y=\"264\" font-size=\"12\" font-family=\"sans-serif\">", keys,
    "</text></svg>"
  )
}

#' The section of the figure.
write_step_size <- function(study) {
  cat("\n\n# Try it: the step of a method {#try-step}\n\n")
  script <- readLines(file.path(study$root, "rscripts", "report", "step_size.js"), encoding = "UTF-8")
  raw_html(
    "<figure id=\"step-size\"><p class=\"control\" hidden><label for=\"step\">Step</label> ",
    "<input id=\"step\" type=\"range\" min=\"0.05\" max=\"1\" step=\"0.05\" value=\"", STEP_SHOWN, "\"> ",
    "<output for=\"step\">", STEP_SHOWN, "</output></p>\n",
    "<div class=\"panels\">", paste(vapply(names(STEP_PROBLEMS), step_panel, character(1)), collapse = ""), "</div>\n",
    "<figcaption>In print the step is ", STEP_SHOWN, "; where the page runs scripts, the slider changes it, also by the arrow ",
    "keys. Explicit Euler and Heun are stable on the decay below a step of 2/5 only, and explicit Euler on the spiral below ",
    "0.95; implicit Euler is stable at every step.</figcaption></figure>\n",
    "<script>\n", paste(script, collapse = "\n"), "\n</script>"
  )
}
