# Images told apart, on R arrays.

# Bright upper or lower half, with noise; `channels` copies.
halves <- function(count, seed = 1, channels = 1) {
  set.seed(seed)
  labels <- factor(rep(c("top", "bottom"), length.out = count))
  images <- array(runif(count * 9 * 8), c(count, 9, 8))
  images[labels == "top", 1:4, ] <- images[labels == "top", 1:4, ] + 1
  images[labels == "bottom", 6:9, ] <- images[labels == "bottom", 6:9, ] + 1
  if (channels > 1) images <- array(rep(images, channels), c(count, 9, 8, channels))
  list(images = images, labels = labels)
}

small <- function(data, ...) {
  nk_classifier(data$images, data$labels, filters = 4, step_size = 0.5, batch_size = 8, learning_rate = 0.03, seed = 1,
    progress = FALSE, ...)
}

test_that("images it has not seen are classified", {
  needs_python()
  model <- small(halves(48), epochs = 4)
  unseen <- halves(20, seed = 2)
  expect_gt(mean(predict(model, unseen$images) == unseen$labels), 0.9)
  probabilities <- predict(model, unseen$images, type = "prob")
  expect_identical(colnames(probabilities), levels(unseen$labels))
  expect_equal(rowSums(probabilities), rep(1, 20), tolerance = 1e-6)
  expect_identical(levels(predict(model, unseen$images)), levels(unseen$labels))
  file <- nk_save(model, tempfile())
  expect_identical(predict(nk_load(file), unseen$images, type = "prob"), probabilities)
  expect_output(print(model), "9 x 8 x 1")
  expect_output(print(summary(model)), "nfe_forward")
  expect_identical(nrow(model$losses), 24L)
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_no_error(plot(model))
  expect_identical(glance.nk_classifier(model)$weights, length(coef(model)))
  expect_identical(dim(tidy.nk_classifier(model)), c(0L, 3L))
})

test_that("the orientation of the arrays is rows then columns, with channels last", {
  needs_python()
  bridge <- reticulate::import_from_path("nodekitr", path = system.file("python", package = "nodekitr"))
  images <- array(seq_len(2 * 3 * 4 * 5) + 0, c(2, 3, 4, 5))
  found <- bridge$classifier$as_images(images, 0, 1)$numpy()
  expect_identical(dim(found), c(2L, 5L, 3L, 4L))
  expect_equal(found[2, 5, 3, 1], images[2, 3, 1, 5])
  expect_equal(found, aperm(images, c(1, 4, 2, 3)))
})

test_that("channels, an adaptive method and the documents' adjoint", {
  needs_python()
  model <- small(halves(8, channels = 2), epochs = 1, method = "dopri5", gradient = "adjoint")
  expect_output(print(model), "9 x 8 x 2")
  expect_gt(model$history$nfe_backward, 0)
})

test_that("the running mean of the losses is the one of pandas", {
  x <- c(3, 1, 4, 1, 5, 9, 2, 6)
  weights <- 0.5^((length(x) - seq_along(x)) / 10)
  expect_equal(nodekitr:::half_life_mean(x, 10)[8], sum(weights * x) / sum(weights))
})

test_that("what is wrong with images and labels is said", {
  data <- halves(4)
  bad <- function(message, x, y, class = "nodekit_value_error") {
    expect_error(nk_classifier(x, y), message, class = class)
  }
  bad("3 labels for 4", data$images, data$labels[1:3])
  bad("label of image 2 is NA", data$images, c("a", NA, "b", "b"))
  bad("All labels", data$images, rep("a", 4))
  bad("row, column", matrix(1, 4, 64), data$labels, "nodekit_type_error")
  bad("row, column", data.frame(a = 1), data$labels, "nodekit_type_error")
  bad("At least 8 x 8", data$images[, 1:5, ], data$labels)
  bad("NA", replace(data$images, 5, NA), data$labels)
  needs_python()
  model <- small(halves(8), epochs = 1)
  expect_error(predict(model, array(0, c(1, 8, 8))), "9 x 8 x 1", class = "nodekit_value_error")
})
