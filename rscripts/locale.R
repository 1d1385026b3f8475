# Words such as "Crank-Nicolson" hold letters beyond ASCII: R must read and draw them whatever the machine's locale.
# (This file is sourced before that holds, so it is pure ASCII.)

use_utf8 <- function() {
  for (name in c("C.UTF-8", "en_US.UTF-8", "UTF-8")) {
    if (l10n_info()$`UTF-8`) break
    suppressWarnings(Sys.setlocale("LC_CTYPE", name))
  }
  invisible(l10n_info()$`UTF-8`)
}

use_utf8()
