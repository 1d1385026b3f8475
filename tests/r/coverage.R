# How often nodekitr's intervals hold what they should, by simulation. Run by hand, as it takes minutes to hours:
#   Rscript tests/r/coverage.R decay 400      parameters of a decay with its start, 8 values
#   Rscript tests/r/coverage.R prey 150       Lotka and Volterra's equations, 3 parameters, 2 columns of 9 values
#   Rscript tests/r/coverage.R outbreak 150   an outbreak (SIR) of which I is observed, 2 parameters, 13 values
#   Rscript tests/r/coverage.R network 60     predictions of a network and of ensembles of five
# A third argument, "profile" or "bootstrap", asks for these intervals of parameters, with about 20 times the work.
# nodekitr is to be installed. The table has percentages, and their errors by the number of repetitions.
library(nodekitr)

MODELS <- list(
  decay = list(
    func = function(t, y, parms) list(-parms[["k"]] * y), truth = c(k = 0.3, x0 = 5), log = "k", times = 0:7,
    y = function(parms) c(x = parms[["x0"]]), noise = c(x = 0.3)
  ),
  prey = list(
    func = function(t, y, parms) with(as.list(c(y, parms)), list(c(a * u - b * u * v, b * u * v - g * v))),
    truth = c(a = 1, b = 0.5, g = 0.8), log = c("a", "b", "g"), times = seq(0, 6, by = 0.75), y = c(u = 2, v = 1),
    noise = c(u = 0.1, v = 0.3)
  ),
  outbreak = list(
    func = function(t, y, parms) with(as.list(c(y, parms)), list(c(-beta * S * I, beta * S * I - gamma * I))),
    truth = c(beta = 1.6, gamma = 0.5), log = c("beta", "gamma"), times = 0:12, y = c(S = 0.99, I = 0.01),
    noise = c(I = 0.02)
  )
)
LEVELS <- c(0.9, 0.95)

# The mean of each column, with its error where the rows are independent.
show_coverage <- function(held) {
  error <- apply(held, 2, stats::sd) / sqrt(nrow(held))
  print(round(100 * cbind(coverage = colMeans(held), error = error), 1))
}

cover_parameters <- function(model, repetitions, method) {
  start <- if (is.function(model$y)) model$y(model$truth) else model$y
  clean <- nk_ode(start, model$times, model$func, model$truth, method = "rk4")[, names(model$noise), drop = FALSE]
  found <- lapply(seq_len(repetitions), function(i) {
    set.seed(i)
    noise <- vapply(model$noise, function(sd) stats::rnorm(length(model$times), sd = sd), model$times + 0)
    fit <- nk_estimate(data.frame(time = model$times, clean + noise), model$func, model$truth, y = model$y,
      observed = names(model$noise), log = model$log, method = "rk4")
    held <- lapply(LEVELS, function(level) {
      ends <- confint(fit, level = level, method = method)
      stats::setNames(ends[, 1] < model$truth & model$truth < ends[, 2], paste(rownames(ends), level))
    })
    list(held = unlist(held), estimate = coef(fit), error = sqrt(diag(vcov(fit))))
  })
  show_coverage(do.call(rbind, lapply(found, `[[`, "held")))
  estimates <- do.call(rbind, lapply(found, `[[`, "estimate"))
  errors <- do.call(rbind, lapply(found, `[[`, "error"))
  cat("mean standard error by the spread of the estimates:\n")
  print(round(colMeans(errors) / apply(estimates, 2, stats::sd), 3))
}

# Logistic growth until it is nearly done at the time 4. A new observation lies in an interval with a probability that
# is known for each repetition, which averages with less error than drawn observations would.
cover_network <- function(repetitions, noise = 0.15) {
  truth <- function(t) 3 / (1 + 14 * exp(-1.5 * t))
  at <- seq(0.125, 8, by = 0.25)
  places <- list("inside" = at < 4, "half as far again" = at > 4 & at < 6, "twice as far" = at > 6)
  held <- function(bounds, name) {
    expected <- stats::pnorm((bounds$size.upper - truth(at)) / noise) - stats::pnorm((bounds$size.lower - truth(at)) / noise)
    found <- vapply(places, function(place) mean(expected[place]), 1)
    stats::setNames(found, paste(name, names(places), sep = ", "))
  }
  found <- lapply(seq_len(repetitions), function(i) {
    set.seed(1000 + i)
    data <- data.frame(time = seq(0, 4, by = 0.25))
    data$size <- truth(data$time) + stats::rnorm(nrow(data), sd = noise)
    fit <- nk_fit(data, layers = 8, epochs = 120, method = "rk4", options = list(step_size = 0.25), starts = "estimated",
      learning_rate = 0.05, seed = i, progress = FALSE)
    models <- list(
      "one fit" = fit, "other weights" = nk_ensemble(fit, seed = i, progress = FALSE),
      "other data" = nk_ensemble(fit, resample = TRUE, seed = i, progress = FALSE)
    )
    unlist(lapply(names(models), function(name) unlist(lapply(LEVELS, function(level) {
      held(predict(models[[name]], times = at, interval = "prediction", level = level), paste(name, level))
    }))))
  })
  show_coverage(do.call(rbind, found))
}

arguments <- commandArgs(trailingOnly = TRUE)
if (!length(arguments)) stop("Say what: ", paste(c(names(MODELS), "network"), collapse = ", "), ".")
repetitions <- if (length(arguments) > 1) as.integer(arguments[2]) else 20L
if (arguments[1] == "network") cover_network(repetitions) else {
  cover_parameters(MODELS[[arguments[1]]], repetitions, if (length(arguments) > 2) arguments[3] else "wald")
}
