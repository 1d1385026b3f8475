# A copy of the user's function in which numbers that remember may stand for plain ones.
#
# Operators and many functions of R find their methods by the class of any, or of the first, of their arguments. For the
# others - max(0, x), c(0, x), dy[1] <- x where dy is plain, %*%, sapply() - the copy sees functions of the same names,
# in an environment between it and its own. The user's functions that it calls are copied alike; those of packages are
# not.

differentiable <- function(f) {
  if (is.primitive(f)) return(substitutes()[[primitive_name(f)]] %||% f)
  table <- table_function(f)
  if (!is.null(table)) return(table)
  home <- environment(f)
  between <- environment_between(home)
  add_callees(f, between, home)
  environment(f) <- between
  f
}

primitive_name <- function(f) sub('.*"(.*)".*', "\\1", deparse(f)[1])

# The environment that copies of functions at `home` see: one a home, while the copies are in use. A name that means
# something of the user's own stays with the user.
environment_between <- function(home) {
  for (copy in session$copies) if (identical(parent.env(copy), home)) return(copy)
  known <- substitutes()
  meant <- vapply(names(known), function(name) identical(get0(name, envir = home), r_own(name)), NA)
  between <- list2env(known[meant], parent = home)
  session$copies <- c(session$copies, between)
  between
}

r_own <- function(name) get0(name, envir = asNamespace("stats"))  %||% get0(name, envir = asNamespace("utils"))

# Copies of the user's functions that f names, in the environment that f's copy sees.
add_callees <- function(f, between, home) {
  for (name in setdiff(all.names(body(f)), ls(between, all.names = TRUE))) {
    callee <- get0(name, envir = home, mode = "function")
    if (is.null(callee) || is.primitive(callee)) next
    table <- table_function(callee)
    if (is.null(table) && !is_users(callee)) next
    if (!is.function(get0(name, envir = home))) next # a variable that shares its name
    assign(name, callee, envir = between) # it may name itself
    assign(name, table %||% differentiable(callee), envir = between)
  }
}

# Copies for one use of a function, forgotten behind it.
with_copies <- function(f, expression) {
  outer <- mget(c("copies", "home"), envir = session, ifnotfound = list(NULL))
  on.exit(for (name in c("copies", "home")) assign(name, outer[[name]], envir = session))
  session$copies <- NULL
  session$home <- topenv(environment(f) %||% globalenv())
  expression
}

# Whether a function is the user's: of the workspace, or of the package that the first one is of.
is_users <- function(f) {
  top <- topenv(environment(f))
  identical(top, globalenv()) || identical(top, session$home)
}

# The functions that approxfun() and splinefun() make, with their slopes.
table_function <- function(f) {
  made_by <- function(maker) identical(body(f), body(maker))
  at <- environment(f)
  if (made_by(linear_table)) {
    slope <- if (identical(at$method, 2L)) {
      function(v) 0 * v
    } else {
      slopes <- c(0, diff(at$y) / diff(at$x), 0)
      function(v) slopes[findInterval(v, at$x, rightmost.closed = TRUE) + 1]
    }
  } else if (made_by(cubic_table)) {
    slope <- function(v) f(v, deriv = 1)
  } else {
    return(NULL)
  }
  function(v, ...) {
    if (!is_number(v) || ...length()) return(f(v, ...))
    value <- f(value_of(v))
    if (made_by(linear_table) && identical(at$method, 2L)) value <- as_decided(value) # steps
    mapped(v, value, slope(as.vector(value_of(v))), table_step(f))
  }
}

# A table as a program has it: cubic pieces a + b h + c h^2 + d h^3 behind each x, what is before and after it (NA: not
# defined), and the value at the last x.
table_step <- function(f) {
  at <- environment(f)
  if (!identical(body(f), body(linear_table))) {
    if (identical(at$z$method, 1L)) return(NULL) # periodic
    z <- at$z
    return(list("table", z$x, z$y, z$b, z$c, z$d, "polynomial"))
  }
  n <- length(at$x)
  none <- numeric(n)
  if (identical(at$method, 2L)) {
    return(list("table", at$x, c((1 - at$f) * at$y[-n] + at$f * at$y[-1], at$y[n]), none, none, none,
      c(at$yleft, at$yright), at$y)
    )
  }
  list("table", at$x, at$y, c(diff(at$y) / diff(at$x), 0), none, none, c(at$yleft, at$yright), at$y)
}
linear_table <- stats::approxfun(0:1, 0:1)
cubic_table <- stats::splinefun(0:2, 0:2)

# Functions that stand for R's own of the same names: with plain arguments they are R's own.
substitutes <- function() {
  if (is.null(session$substitutes)) session$substitutes <- make_substitutes()
  session$substitutes
}

make_substitutes <- function() {
  # For a function whose first argument, or any, is a number: ours; else R's own.
  where_number <- function(own, ours) function(...) if (any_number(list(...))) ours(...) else own(...)
  moves <- function(own) function(x, ...) {
    if (is_number(x)) rearranged(x, function(places) own(places, ...)) else own(x, ...)
  }
  plain <- function(own) function(...) do.call(own, lapply(list(...), decided_by))
  deciding <- function(own) function(...) {
    found <- do.call(own, lapply(list(...), decided_by))
    if (any_number(list(...))) as_decided(found) else found
  }
  sums <- lapply(c(sum = "sum", prod = "prod", max = "max", min = "min", range = "range"), function(name) {
    own <- get(name, baseenv())
    function(..., na.rm = FALSE) {
      xs <- list(...)
      if (any_number(xs)) summarised(name, xs, na.rm) else own(..., na.rm = na.rm)
    }
  })
  densities <- lapply(stats::setNames(nm = names(LOG_DENSITIES)), density_of)
  assigning <- lapply(c("[<-" = "[<-", "[[<-" = "[[<-"), function(name) {
    own <- get(name, baseenv())
    function(x, ..., value) {
      if (is_number(value) && (is.null(x) || (is.atomic(x) && !is.object(x)))) {
        assigned(own, x, ..., value = value)
      } else {
        own(x, ..., value = value)
      }
    }
  })
  named <- function(pkg, name) {
    pkg <- as.character(substitute(pkg))
    name <- as.character(substitute(name))
    ours <- if (pkg %in% c("base", "stats", "utils")) substitutes()[[name]]
    ours %||% getExportedValue(pkg, name)
  }
  c(list(`::` = named), sums, densities, distribution_functions(), assigning, array_substitutes(), loop_substitutes(), list(
    c = function(...) {
      xs <- list(...)
      if (any_number(xs)) joined(xs) else base::c(...)
    },
    unlist = function(x, recursive = TRUE, use.names = TRUE) {
      if (is.list(x) && holds_number(x)) unlisted(x, use.names) else base::unlist(x, recursive, use.names)
    },
    ifelse = function(test, yes, no) {
      if (!any_number(list(test, yes, no))) return(base::ifelse(test, yes, no))
      chosen_by(decided_by(test), yes, no)
    },
    pmax = function(..., na.rm = FALSE) extremes("pmax", `>=`, base::pmax, list(...), na.rm),
    pmin = function(..., na.rm = FALSE) extremes("pmin", `<=`, base::pmin, list(...), na.rm),
    `%*%` = where_number(base::`%*%`, multiplied),
    crossprod = where_number(base::crossprod, function(x, y = x) multiplied(t(x), y)),
    tcrossprod = where_number(base::tcrossprod, function(x, y = x) multiplied(x, t(y))),
    solve = where_number(base::solve, solved_linear),
    var = where_number(stats::var, function(x, na.rm = FALSE) variance(x, na.rm)),
    sd = where_number(stats::sd, function(x, na.rm = FALSE) sqrt(variance(x, na.rm))),
    weighted.mean = where_number(stats::weighted.mean, function(x, w) summarised("sum", list(x * w)) /
      summarised("sum", list(w))),
    approx = interpolated(stats::approx), spline = interpolated(stats::spline),
    drop = moves(base::drop), head = moves(utils::head), tail = moves(utils::tail), rep_len = moves(base::rep_len),
    `:` = plain(base::`:`), seq_len = plain(base::seq_len), seq = plain(base::seq), numeric = plain(base::numeric),
    double = plain(base::double), vector = plain(base::vector), rep = function(x, ...) {
      if (is_number(x)) rearranged(x, function(places) do.call(base::rep, c(list(places), lapply(list(...), decided_by))))
      else do.call(base::rep, c(list(x), lapply(list(...), decided_by)))
    },
    cat = plain(base::cat), sprintf = plain(base::sprintf), which.max = deciding(base::which.max),
    which.min = deciding(base::which.min), findInterval = deciding(base::findInterval), match = plain(base::match),
    `%in%` = plain(base::`%in%`), isTRUE = plain(base::isTRUE), isFALSE = plain(base::isFALSE),
    is.vector = plain(base::is.vector), structure = function(.Data, ...) {
      if (is_number(.Data)) relabelled(.Data, function(v) base::structure(v, ...)) else base::structure(.Data, ...)
    },
    beta = where_number(base::beta, function(a, b) exp(lgamma(a) + lgamma(b) - lgamma(a + b))),
    lbeta = where_number(base::lbeta, function(a, b) lgamma(a) + lgamma(b) - lgamma(a + b)),
    atan2 = where_number(base::atan2, function(y, x) {
      a <- decided_by(y)
      b <- decided_by(x)
      base::atan2(a, b) + (b * y - a * x) / (a^2 + b^2) # what is added is zero, and has the slopes
    })
  ))
}

# What interpolates between values at plain places is linear in the values: a matrix times them.
interpolated <- function(own) {
  function(x, y = NULL, ...) {
    if (!is_number(y)) return(own(x, y, ...))
    n <- length(y)
    found <- own(x, numeric(n), ...)
    units <- lapply(seq_len(n), function(i) own(x, replace(numeric(n), i, 1), ...)$y)
    found$y <- relabelled(multiplied(base::matrix(unlist(units), ncol = n), y), as.vector)
    found
  }
}

holds_number <- function(x) {
  for (entry in x) if (is_number(entry) || (is.list(entry) && holds_number(entry))) return(TRUE)
  FALSE
}

variance <- function(x, na.rm = FALSE) {
  if (na.rm) x <- x[!is.na(decided_by(x))]
  summarised("sum", list((x - mean(x))^2)) / (length(x) - 1)
}

# yes where test holds, else no, recycled, in the shape of test.
chosen_by <- function(test, yes, no) {
  n <- length(test)
  sizes <- c(length(yes), length(no))
  places <- ifelse(test, rep_len(seq_len(sizes[1]), n), sizes[1] + rep_len(seq_len(sizes[2]), n))
  attributes(places) <- attributes(test)
  rearranged(unlisted(list(yes, no), FALSE), function(all) places)
}

# The larger, or the smaller, of vectors place by place.
extremes <- function(name, before, own, xs, na.rm) {
  if (!any_number(xs)) return(do.call(own, c(xs, na.rm = na.rm)))
  pair <- function(a, b) {
    va <- value_of(a)
    vb <- value_of(b)
    first <- before(va, vb)
    if (na.rm) first <- ifelse(is.na(first), !is.na(va), first)
    shape <- own(va, vb, na.rm = na.rm)
    attributes(first) <- attributes(shape)
    found <- chosen_by(first, a, b)
    if (!is.null(session$tracing)) assign("step", list("arithmetic", name, a, b), envir = found)
    found
  }
  Reduce(pair, xs)
}
