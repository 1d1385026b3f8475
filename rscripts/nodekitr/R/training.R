# Training runs in Python, in slices; between them R shows how far it is.

# Run a Python `Training` to its end. An interrupt keeps what was learnt so far; training that diverges ends with the
# best that was learnt.
run_training <- function(training, epochs, progress, learning_rate) {
  batches <- training$batches_per_epoch * epochs
  started <- proc.time()[["elapsed"]]
  shown <- 0
  done <- list(batches = 0)
  interrupted <- FALSE
  # An interrupt waits for the next slice, so that it is always met where it is handled.
  ended <- function() interrupted || !is.null(done$diverged) || isTRUE(done$stopped)
  suspendInterrupts(while (done$batches < batches && !ended()) {
    done <- tryCatch(
      allowInterrupts(from_python(training$advance, if (shown == 0) 0.2 else 1)),
      interrupt = function(e) {
        interrupted <<- TRUE
        list(batches = training$done)
      }
    )
    if (isTRUE(done$interrupted)) interrupted <- TRUE
    seconds <- proc.time()[["elapsed"]] - started
    ending <- done$batches >= batches || ended()
    # In a terminal one line that changes; elsewhere a line now and then.
    if (progress && (interactive() || ending || shown == 0 || done$batches / batches >= shown + 0.1)) {
      shown <- done$batches / batches
      show_progress(done$batches, batches, training$batches_per_epoch, epochs, done$loss, seconds, ending)
    }
    shown <- max(shown, 1e-9)
  })
  training$finish()
  of <- format(batches, scientific = FALSE)
  if (!is.null(done$diverged)) {
    warn("Training diverged after ", done$batches, " of ", of, " batches: ", done$diverged,
      " The model is the best there was. Lower learning_rate, which is ", format(learning_rate), ".")
  }
  if (interrupted) {
    warn("Interrupted after ", done$batches, " of ", of, " batches: the model is what it was then.")
  }
  data.frame(training$table())
}

# The row of the history that tells of the weights that the model has: the last, where no earlier epoch was better.
kept_epoch <- function(history) history[history$kept, ]

describe_training <- function(history, data = NULL) {
  kept <- kept_epoch(history)
  c("  trained: ", nrow(history), " epochs", data, ", ", if (kept$epoch < nrow(history)) c("the best was ", kept$epoch, ", "),
    "loss ", format(kept$loss, digits = 3), "\n")
}

show_progress <- function(done, batches, per_epoch, epochs, loss, seconds, ending) {
  rate <- done / seconds
  message(
    if (interactive()) "\r",
    sprintf("epoch %s/%d", format(floor(done / per_epoch)), epochs),
    if (per_epoch > 1) sprintf(" (batch %d of %d)", done, batches),
    if (!is.null(loss)) sprintf(" | loss %.4g", loss),
    sprintf(" | %.3g batches/s | %s", rate, if (ending) {
      sprintf("%.1f s", seconds)
    } else {
      sprintf("%.0f s left", (batches - done) / rate)
    }),
    appendLF = ending || !interactive()
  )
}

#' Save a fitted model, and load it again
#'
#' The file holds everything, weights and data, as plain R values: it can be read on another machine, and printing,
#' summarising and plotting its history need no Python. It is written beside its place and then moved there, so that
#' an interrupted save leaves the old file.
#'
#' Load only files that you trust: like every `.rds` file it is read by [readRDS()], and an object of R may hold code.
#' @param object what [nk_fit()] or [nk_classifier()] returned.
#' @param file path of the file.
#' @return `nk_save()`: `file`, invisibly; `nk_load()`: the model.
#' @examples
#' file <- tempfile(fileext = ".rds")
#' if (nk_available()) {
#'   fit <- nk_fit(data.frame(time = 0:5, x = exp(-(0:5))), layers = 4, epochs = 5, seed = 1, progress = FALSE)
#'   nk_save(fit, file)
#'   identical(coef(nk_load(file)), coef(fit))
#' }
#' @export
nk_save <- function(object, file) {
  if (!inherits(object, c("nk_fit", "nk_classifier"))) {
    abort("type_error", "'object' is of class '", class(object)[1], "'.",
      remedy = "Give what nk_fit() or nk_classifier() returned."
    )
  }
  partial <- tempfile(".partial-", tmpdir = dirname(file))
  on.exit(unlink(partial))
  written <- tryCatch({
    saveRDS(object, partial)
    file.rename(partial, file)
  }, error = function(e) FALSE, warning = function(e) FALSE)
  if (!written) {
    abort("value_error", "'", file, "' could not be written.",
      remedy = "Does its folder exist, may you write there, is there room?"
    )
  }
  invisible(file)
}

#' @rdname nk_save
#' @export
nk_load <- function(file) {
  object <- tryCatch(readRDS(file), error = function(e) NULL, warning = function(e) NULL)
  if (!inherits(object, c("nk_fit", "nk_classifier"))) {
    abort("value_error", "'", file, "' holds no fitted model, or could not be read.",
      remedy = "Give a file written by nk_save()."
    )
  }
  object
}

# Weights as R keeps them: named arrays. As the user sees them: one named vector of those that were trained.
flat_weights <- function(weights, trained) {
  unlist(lapply(trained, function(name) {
    values <- as.array(weights[[name]])
    places <- do.call(paste, c(expand.grid(lapply(dim(values), seq_len)), sep = ","))
    stats::setNames(as.vector(values), paste0(name, "[", places, "]"))
  }))
}

as_weights <- function(arrays) lapply(arrays, function(x) if (is.null(dim(x))) as.array(x) else x)

as_choice <- function(value, name, choices) {
  if (is.character(value) && length(value) == 1 && value %in% choices) return(value)
  given <- if (is.character(value)) paste0("'", value[1], "'") else paste("of class", class(value)[1])
  abort("value_error", "'", name, "' is ", given, ".",
    remedy = paste0("Choose one of: ", paste(choices, collapse = ", "), ".")
  )
}
