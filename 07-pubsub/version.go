package main

import _ "byor/pkg/version" // the flags -v and -version
