#' Classify images with an ODE inside the network
#'
#' The network of the first document's section 7.3.1: three convolutions that make the image smaller, one block that
#' solves a differential equation whose right-hand side is two 3 x 3 convolutions that see the time, batch
#' normalisation, average pooling, a linear layer. Cross-entropy, Adam.
#'
#' @param x images: an array (image, row, column) or (image, row, column, channel), at least 8 x 8 pixels.
#' @param y the class of each image: a factor, or values to make one of.
#' @param filters channels inside the network; the document has 64.
#' @param t_end the ODE is solved from 0 to here.
#' @param method,step_size,rtol,atol the solver; the document's is `"euler"` with steps of 0.05. `step_size` is for
#'   methods with fixed steps, the tolerances for adaptive ones.
#' @param gradient how the solve is differentiated; the document's is `"adjoint"`.
#' @param epochs,batch_size,learning_rate of the training; the document's are 1 to 6, 32 and 0.001.
#' @param device where to compute: `"cpu"`, `"cuda"`, ... as PyTorch names it.
#' @inheritParams nk_fit
#' @return An object of class `nk_classifier`: plain R values, see [nk_save()].
#' @seealso [predict.nk_classifier()]
#' @examples
#' # Bright top or bright bottom
#' set.seed(1)
#' images <- array(runif(40 * 8 * 8), c(40, 8, 8))
#' labels <- factor(rep(c("top", "bottom"), 20))
#' images[labels == "top", 1:4, ] <- images[labels == "top", 1:4, ] + 1
#' images[labels == "bottom", 5:8, ] <- images[labels == "bottom", 5:8, ] + 1
#' if (nk_available()) {
#'   model <- nk_classifier(images, labels, filters = 4, step_size = 0.25, epochs = 4, batch_size = 8,
#'     learning_rate = 0.02, seed = 1, progress = FALSE)
#'   table(labels, predict(model, images))
#' }
#' @export
nk_classifier <- function(x, y, filters = 64, t_end = 1, method = "euler", step_size = 0.05, rtol = 1e-3, atol = 1e-3,
                          gradient = "checkpoint", epochs = 1, batch_size = 32, learning_rate = 1e-3, seed = NULL,
                          device = "cpu", progress = getOption("nodekitr.progress", TRUE)) {
  x <- as_images(x)
  y <- as_classes(y, dim(x)[1])
  seed <- as_seed(seed)
  channels <- if (length(dim(x)) == 4) dim(x)[4] else 1L
  by_channel <- function(statistic) {
    values <- if (channels == 1) statistic(x) else apply(x, 4, statistic)
    if (identical(statistic, stats::sd)) replace(values, values == 0, 1) else values
  }
  method <- as_method(method)
  adaptive <- is_adaptive(method)
  model <- list(
    size = dim(x)[2:3], channels = channels, classes = levels(y), filters = as_count(filters, "filters"), seed = seed,
    center = by_channel(mean), scale = by_channel(stats::sd), gradient = gradient,
    solver = list(
      t = list(0, as_number(t_end, "t_end", above = 0)), method = method, rtol = as_number(rtol, "rtol"),
      atol = as_number(atol, "atol"),
      options = if (!adaptive) list(step_size = as_number(step_size, "step_size", above = 0)) else
        training_options(method, list())
    )
  )
  module <- build_classifier(model)
  training <- from_python(bridge()$fit_images, module, x, array(as.integer(y) - 1L),
    center = array(model$center), scale = array(model$scale), batch_size = as_count(batch_size, "batch_size"),
    epochs = as_count(epochs, "epochs"), learning_rate = as_number(learning_rate, "learning_rate", above = 0),
    seed = seed, device = device
  )
  history <- run_training(training, epochs, progress, learning_rate)
  losses <- as.double(training$losses)
  structure(
    list(
      call = sys.call(), model = model, weights = as_weights(bridge()$weights(module)),
      trained = bridge()$parameter_names(module), history = history, nobs = dim(x)[1], device = device,
      losses = data.frame(images = pmin(seq_along(losses) * batch_size, epochs * dim(x)[1]), loss = losses)
    ),
    class = "nk_classifier"
  )
}

as_images <- function(x, size = NULL, channels = NULL) {
  if (!is.array(x) || !length(dim(x)) %in% 3:4) {
    abort("type_error", "The images are ", if (is.array(x)) paste0("an array of ", length(dim(x)), " dimensions") else
      paste0("of class '", class(x)[1], "'"), ".",
      remedy = paste0(
        "Give an array (image, row, column) or (image, row, column, channel). A matrix whose rows are images, row of ",
        "pixels after row, becomes one by aperm(array(x, c(nrow(x), width, height)), c(1, 3, 2))."
      )
    )
  }
  as_numbers(c(x), "x")
  found <- dim(x)[2:3]
  if (any(found < 8)) {
    abort("value_error", "The images are ", found[1], " x ", found[2], ".",
      remedy = "At least 8 x 8 pixels are needed."
    )
  }
  of <- if (length(dim(x)) == 4) dim(x)[4] else 1L
  if (!is.null(size) && (any(found != size) || of != channels)) {
    abort("value_error", "The images are ", found[1], " x ", found[2], " x ", of, ".",
      remedy = paste0("The model was trained on ", size[1], " x ", size[2], " x ", channels, ".")
    )
  }
  x
}

as_classes <- function(y, count) {
  if (is.null(y) || is.list(y)) {
    abort("type_error", "'y' is of class '", class(y)[1], "'.",
      remedy = "Give a factor, one class an image."
    )
  }
  if (length(y) != count) {
    abort("value_error", "There are ", length(y), " labels for ", count, " images.",
      remedy = "Give one class an image."
    )
  }
  if (anyNA(y)) {
    abort("value_error", "The label of image ", which(is.na(y))[1], " is NA.",
      remedy = "Drop the images that have no label."
    )
  }
  y <- droplevels(as.factor(y))
  if (nlevels(y) < 2) {
    abort("value_error", "All labels are '", levels(y), "'.",
      remedy = "Give images of at least two classes."
    )
  }
  y
}

build_classifier <- function(model, weights = NULL) {
  module <- from_python(bridge()$ImageODENet, model$channels, length(model$classes), model$filters, model$solver,
    model$gradient, model$seed
  )
  if (is.null(weights)) module else from_python(bridge()$load_weights, module, weights)
}

#' Use a fitted image classifier
#'
#' @param object,x what [nk_classifier()] returned.
#' @param newdata images, as in [nk_classifier()].
#' @param type `"class"`: a factor; `"prob"`: a matrix, one column a class.
#' @param ... for `plot`, handed to `plot.default`; else nothing may be given.
#' @return `predict`: see `type`. `coef`: a named vector of all weights. `tidy` and `glance` (where the package
#'   generics is there): data frames, of no rows, as weights are no estimates, and of one.
#' @examples
#' # see nk_classifier()
#' @export
predict.nk_classifier <- function(object, newdata, type = c("class", "prob"), ...) {
  refuse_arguments(c("newdata", "type"), ...)
  type <- match.arg(type)
  model <- object$model
  newdata <- as_images(newdata, model$size, model$channels)
  found <- from_python(bridge()$probabilities, build_classifier(model, object$weights), newdata,
    center = array(model$center), scale = array(model$scale), device = object$device
  )
  colnames(found) <- model$classes
  if (type == "prob") found else factor(model$classes[max.col(found, "first")], levels = model$classes)
}

#' @rdname predict.nk_classifier
#' @export
coef.nk_classifier <- function(object, ...) {
  refuse_arguments(NULL, ...)
  flat_weights(object$weights, object$trained)
}

#' @rdname predict.nk_classifier
#' @export
print.nk_classifier <- function(x, ...) {
  refuse_arguments(NULL, ...)
  solver <- x$model$solver
  cat("ODE-Net for images of ", paste(c(x$model$size, x$model$channels), collapse = " x "), "\n",
    "  classes: ", paste(x$model$classes, collapse = ", "), "\n",
    "  network: ", x$model$filters, " filters, ", length(coef(x)), " weights\n",
    "  solver: ", solver$method, if (length(solver$options)) paste0(", step ", solver$options$step_size),
    ", gradient: ", x$model$gradient, "\n",
    describe_training(x$history, c(" of ", x$nobs, " images")),
    sep = ""
  )
  invisible(x)
}

#' @rdname predict.nk_classifier
#' @export
summary.nk_classifier <- function(object, ...) {
  refuse_arguments(NULL, ...)
  structure(list(model = object, history = object$history), class = "summary.nk_classifier")
}

#' @export
print.summary.nk_classifier <- function(x, ...) {
  refuse_arguments(NULL, ...)
  print(x$model)
  cat("\n")
  print(x$history[names(x$history) != "kept"], row.names = FALSE, digits = 4)
  invisible(x)
}

#' @rdname predict.nk_classifier
#' @export
plot.nk_classifier <- function(x, ...) {
  refuse_plot_arguments(NULL, ...)
  graphics::plot.default(x$losses$images, x$losses$loss,
    type = "l", col = "grey70", xlab = "images seen", ylab = "cross-entropy", ...
  )
  graphics::lines(x$losses$images, half_life_mean(x$losses$loss, 10), col = "firebrick", lwd = 2)
  invisible(x)
}

# Exponentially weighted mean whose weights halve every so many values.
half_life_mean <- function(x, half_life) {
  weight <- 0.5^(1 / half_life)
  sums <- Reduce(function(sum, value) sum * weight + value, x, accumulate = TRUE)
  sums / cumsum(weight^(seq_along(x) - 1))
}

#' @rdname predict.nk_classifier
#' @exportS3Method generics::tidy
tidy.nk_classifier <- function(x, ...) {
  refuse_arguments(NULL, ...)
  data.frame(term = character(), estimate = numeric(), std.error = numeric()) # weights are no estimates
}

#' @rdname predict.nk_classifier
#' @exportS3Method generics::glance
glance.nk_classifier <- function(x, ...) {
  refuse_arguments(NULL, ...)
  kept <- kept_epoch(x$history)
  data.frame(
    loss = kept$loss, weights = length(coef(x)), epochs = nrow(x$history), nobs = x$nobs,
    classes = length(x$model$classes), method = x$model$solver$method, gradient = x$model$gradient,
    nfe_forward = kept$nfe_forward, nfe_backward = kept$nfe_backward
  )
}
