library(testthat)
library(nodekitr)

test_check("nodekitr")
