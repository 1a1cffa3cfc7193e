# Bare `make` lists what there is. Every line with a `##` comment appears in that list.
.DEFAULT_GOAL := help

STEPS := 01-tcp-echo 02-resp-parser 03-get-set 04-expiry 05-aof 06-rdb 07-pubsub \
         08-replication 09-shutdown 10-websocket-capstone
NUMS  := 01 02 03 04 05 06 07 08 09 10

GO        ?= go
# What a learner has in work/ may be half written: it is not tested, linted or fuzzed.
# The packages whose tests take longest come first, so that nothing waits for them alone at the end.
PKGS       = ./10-websocket-capstone ./pkg/server ./pkg/server/diff $(shell $(GO) list ./... | grep -v '/work/\|/10-websocket-capstone$$\|/pkg/server\(/diff\)\?$$')
# The tests of so many packages run side by side: they wait more than they work.
SIDES     := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1)))
TESTFLAGS ?=
FUZZTIME  ?= 10s

.PHONY: help
help: ## this list
	@echo 'Build your own Redis, in ten steps.'
	@echo
	@echo 'Run a step (Ctrl-C ends it; ARGS="-trace" passes flags):'
	@for s in $(STEPS); do echo "  make $$s"; done
	@echo
	@echo 'Everything else:'
	@awk -F' *## ' '/^[^\t#].*:.*## / { \
		name = $$1; \
		if (match(name, /: [a-z]+-%:/)) name = substr(name, RSTART + 2, RLENGTH - 4) "NN"; \
		sub(/:.*/, "", name); \
		printf "  make %-14s %s\n", name, $$2 }' $(firstword $(MAKEFILE_LIST))

# The folders have the targets' names, so make must be told that these are not files.
.PHONY: $(STEPS)
$(STEPS):
	@mkdir -p bin
	@$(GO) build -o bin/$@ ./$@
	@exec ./bin/$@ $(ARGS)

# The checker's flags, from the variables a learner sets on make's command line.
# The program is built and not `go run`, so that its exit code and Ctrl-C arrive as they are.
CHECK = mkdir -p bin && $(GO) build -o bin/check ./pkg/check/cmd/check && bin/check $(if $(ADDR),-addr '$(ADDR)') $(if $(CMD),-cmd '$(subst ','\'',$(CMD))') \
	$(if $(DIR),-dir '$(DIR)') $(if $(EX),-ex $(EX)) $(if $(UPTO),-upto $(UPTO)) $(if $(ONLY),-only '$(ONLY)') $(if $(V),-verbose) $(if $(JSON),-json) $(if $(WATCH),-watch) $(ARGS)

.PHONY: $(NUMS:%=check-%)
$(NUMS:%=check-%): check-%: ## check yours in work/NN, else step NN (EX=k EX=test UPTO=k ONLY=a,b; DIR= ADDR= CMD=; V=1 JSON=1 WATCH=1)
	@$(CHECK) -step $(patsubst 0%,%,$*)

.PHONY: check
check: ## check all steps and show the progress (DIR=work: all of yours)
	@$(CHECK)

.PHONY: docs-check
docs-check: ## execute the texts' transcripts; look after quotes, links, targets
	@cd pkg/check && $(GO) test -count=1 -run 'TestDocs|TestCourseTranscripts' # there and not from here, or what was skipped would not be shown

.PHONY: $(NUMS:%=start-%)
$(NUMS:%=start-%): start-%: ## put step NN's server, the new pieces missing, into work/NN
	@$(GO) run ./pkg/check/cmd/start -step $(patsubst 0%,%,$*)

# What stands in a step's folder beside the server.
NOTCODE := -x '*_test.go' -x '*.md' -x solutions -x bench -x ws -x service -x compat -x 'Dockerfile*' -x testdata

.PHONY: $(NUMS:%=compare-%)
$(NUMS:%=compare-%): compare-%: ## your work/NN beside the finished step
	@test -d work/$* || { echo 'there is no work/$*; `make start-$*` makes it' >&2; exit 1; }
	@rm -rf bin/.compare && mkdir -p bin/.compare/yours bin/.compare/finished
	@cp -R work/$*/. bin/.compare/yours && cp -R $(filter $*-%,$(STEPS))/. bin/.compare/finished
	@find bin/.compare -name '*.go' | while read -r f; do grep -vE '^[[:space:]]*// (region: .*|endregion|piece [0-9]+: .*)$$' "$$f" > bin/.compare/file; mv bin/.compare/file "$$f"; done
	@cd bin/.compare && diff -ru $(NOTCODE) yours finished || true

DIFFS := 01-02 02-03 03-04 04-05 05-06 06-07 07-08 08-09 09-10
.PHONY: $(DIFFS:%=diff-%)
$(DIFFS:%=diff-%): diff-%: ## what changed from step to step, e.g. diff-03-04
	@diff -ruN $(NOTCODE) $(foreach n,$(subst -, ,$*),$(filter $(n)-%,$(STEPS))) || true

.PHONY: trace
trace: ## a proxy that shows every frame, beside real Redis's answers (ADDR=host:port)
	@$(GO) run ./pkg/check/cmd/trace $(if $(ADDR),-addr $(ADDR)) $(ARGS)

.PHONY: progress
progress: ## what is done, and what comes next
	@$(GO) run ./pkg/check/cmd/check -progress

# The programs that tests start are built once and not in each test; TEST runs go test and sums up. Tests that allow
# others beside them wait more than they work: four at a time, also on two cores.
TEST = mkdir -p bin/test && $(GO) build -ldflags='-s -w' -o bin/test/ $(STEPS:%=./%) ./10-websocket-capstone/bench ./pkg/check/cmd/check ./pkg/redistest/cmd/test && \
	BYOR_BIN='$(CURDIR)/bin/test' bin/test/test -timeout 30m -p $(SIDES) -parallel 4 $(TESTFLAGS)

.PHONY: test
test: ## what shows that the code is right (2 minutes on 2 cores)
	@$(TEST) -skip '^TestCourse' $(PKGS)

.PHONY: test-course
test-course: ## does the course keep its word: mutants, exercises, transcripts (8 minutes)
	@$(TEST) -run '^TestCourse' ./pkg/check ./pkg/version/cmd/module

.PHONY: calibrate
calibrate: ## test-course, and each mutant is asked the slow checks, too, that stand in front of its own
	@WHOLE=1 $(TEST) -run '^TestCourse' ./pkg/check

.PHONY: test-all
test-all: ## both, as CI does
	@$(TEST) $(PKGS)

.PHONY: screenshot
screenshot: ## take step 10's page.png anew, and more pictures of the page in bin/pictures (needs chromium)
	@mkdir -p bin/pictures && $(GO) test -count=1 -tags pictures -run '^TestPictures$$' ./10-websocket-capstone -pictures '$(CURDIR)/bin/pictures' && \
		cp bin/pictures/page.png 10-websocket-capstone/page.png && ls -l 10-websocket-capstone/page.png

.PHONY: compat
compat: ## write step 10's COMPATIBILITY.md anew, from the tables
	@$(GO) run ./10-websocket-capstone/compat >10-websocket-capstone/COMPATIBILITY.tmp && mv 10-websocket-capstone/COMPATIBILITY.tmp 10-websocket-capstone/COMPATIBILITY.md

.PHONY: module
module: ## give the module another name, so that a fork can be fetched (NAME=example.com/you/redis)
	@$(GO) run ./pkg/version/cmd/module '$(NAME)'

.PHONY: race
race: ## the tests of `make test` under the race detector (slow)
	@$(TEST) -race -skip '^TestCourse' $(PKGS)

.PHONY: diff-redis
diff-redis: ## all scripts and random commands on step 10 and on a real Redis (N=100000 a group, SEED=…)
	$(GO) test -count=1 -timeout 60m ./pkg/server/diff -v -diff.n $(or $(N),100000) -diff.seed $(or $(SEED),0)

.PHONY: torture
torture: ## kill -9 step 10 under load again and again, and look for lost transactions
	$(GO) test -count=1 -timeout 60m -run TestTorture ./pkg/server -torture -v

# Built and not `go run`, so that its exit code and Ctrl-C arrive as they are.
BENCH_PROGRAM = mkdir -p bin && $(GO) build -o bin/bench ./10-websocket-capstone/bench && bin/bench

.PHONY: bench
bench: ## race step 10 against a real redis-server (3 minutes; ARGS=-quick, ARGS='-full -html FILE', ARGS=-h)
	@$(BENCH_PROGRAM) $(ARGS)

.PHONY: bench-compare
bench-compare: ## race step 10 of two commits (A=commit B=commit; without B the folder as it is)
	@test -n '$(A)' || { echo 'which commits? make bench-compare A=HEAD B=HEAD~1' >&2; exit 1; }
	@$(BENCH_PROGRAM) -a 'commit:$(A)' -b '$(if $(B),commit:$(B),capstone)' $(ARGS)

.PHONY: bench-fanout
bench-fanout: ## what a message to many browsers costs, beside TCP and real Redis (SUBS=500 RATE=20 BYTES=147; ARGS=-h)
	@mkdir -p bin && $(GO) build -o bin/fanout ./10-websocket-capstone/bench/fanout && \
		bin/fanout $(if $(SUBS),-subs $(SUBS)) $(if $(RATE),-rate $(RATE)) $(if $(BYTES),-bytes $(BYTES)) $(ARGS)

.PHONY: bench-go
bench-go: ## go test -bench with allocations: the wire, the store, a command through the engine (BENCH=regexp)
	$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem ./pkg/resp ./pkg/store ./pkg/commands

.PHONY: lint
lint: ## gofmt, go vet, and builds for macOS and Windows
	@bad="$$(gofmt -l $$(git ls-files '*.go'))"; \
		if [ -n "$$bad" ]; then echo "gofmt would change:"; echo "$$bad"; exit 1; fi
	@echo go vet; $(GO) vet $(PKGS)
	@for os in darwin windows; do echo "go vet and go build for $$os"; \
		GOOS=$$os $(GO) vet $(PKGS) && GOOS=$$os $(GO) build $(PKGS) || exit 1; done

# go test -fuzz takes one target of one package at a time, so they are listed and run in turn.
.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10s)
	@for pkg in $(PKGS); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$f"; \
			$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

.PHONY: cover
cover: ## test coverage by function, and as cover.html
	$(GO) test -coverprofile=cover.out $(PKGS)
	$(GO) tool cover -func=cover.out | tail -n 1
	$(GO) tool cover -html=cover.out -o cover.html
