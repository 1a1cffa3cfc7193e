# Bare `make` lists what there is. Every line with a `##` comment appears in that list.
.DEFAULT_GOAL := help

STEPS := 01-tcp-echo 02-resp-parser 03-get-set 04-expiry 05-aof 06-rdb 07-pubsub \
         08-replication 09-shutdown 10-websocket-capstone
NUMS  := 01 02 03 04 05 06 07 08 09 10

GO        ?= go
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
	@sed -n -E 's/^([a-zA-Z0-9_-]+|\$$\([A-Z]+:%=([a-z]+-)%\)):[^#]*## (.*)$$/\1|\3/p' $(firstword $(MAKEFILE_LIST)) \
		| sed -E 's/^\$$\([A-Z]+:%=([a-z]+)-%\)/\1-NN/' \
		| awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

# The folders have the targets' names, so make must be told that these are not files.
.PHONY: $(STEPS)
$(STEPS):
	@mkdir -p bin
	@$(GO) build -o bin/$@ ./$@
	@exec ./bin/$@ $(ARGS)

# The checker's flags, from the variables a learner sets on make's command line.
CHECK = $(GO) run ./pkg/check/cmd/check $(if $(ADDR),-addr '$(ADDR)') $(if $(CMD),-cmd '$(subst ','\'',$(CMD))') \
	$(if $(DIR),-dir '$(DIR)') $(if $(EX),-ex $(EX)) $(if $(V),-v) $(if $(JSON),-json) $(if $(WATCH),-watch) $(ARGS)

.PHONY: $(NUMS:%=check-%)
$(NUMS:%=check-%): check-%: ## check step NN; EX=k an exercise; DIR=work/NN, ADDR=host:port or CMD='…' another server; V=1 JSON=1 WATCH=1
	@$(CHECK) -step $(patsubst 0%,%,$*)

.PHONY: check
check: ## check all steps and show the progress
	@$(CHECK)

.PHONY: progress
progress: ## what is done, and what comes next
	@$(GO) run ./pkg/check/cmd/check -progress

.PHONY: test
test: ## all tests
	$(GO) test $(TESTFLAGS) ./...

.PHONY: race
race: ## all tests under the race detector (slow)
	$(GO) test -race $(TESTFLAGS) ./...

.PHONY: bench
bench: ## race step 10 against a real redis-server
	$(GO) run ./10-websocket-capstone/bench -redis -capstone $(ARGS)

.PHONY: lint
lint: ## gofmt, go vet, and builds for macOS and Windows
	@bad="$$(gofmt -l $$(git ls-files '*.go'))"; \
		if [ -n "$$bad" ]; then echo "gofmt would change:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...
	GOOS=darwin $(GO) build ./...
	GOOS=windows $(GO) build ./...

# go test -fuzz takes one target of one package at a time, so they are listed and run in turn.
.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10s)
	@for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$f"; \
			$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

.PHONY: cover
cover: ## test coverage by function, and as cover.html
	$(GO) test -coverprofile=cover.out ./...
	$(GO) tool cover -func=cover.out | tail -n 1
	$(GO) tool cover -html=cover.out -o cover.html
