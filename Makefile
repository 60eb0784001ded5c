# Everything that is needed is installed by the targets themselves: Debian packages with root or
# sudo (or it is said which are missing), Python packages into .venv.

PYTHON ?= $(shell deploy/find-python)
SCENARIO ?= hpc-polling
VENV := .venv
BIN := $(VENV)/bin

# Open vSwitch, Mininet and the ordinary tools that make traffic and read captures.
PACKAGES := openvswitch-switch mininet iproute2 nftables ethtool iputils-ping curl dnsmasq-base \
	bind9-dnsutils tcpdump tcpreplay tshark openssl
# What tests need besides: a browser, Java for Spark, setcap, a terminal, jq, systemd-analyze,
# a lease to hold.
TEST_PACKAGES := chromium default-jre-headless libcap2-bin tmux jq systemd etcd-server
# What the lab's hosts run besides, and scan each other with. A resolver and a time server would
# start as services of this machine: these are unpacked.
LAB_PACKAGES := dropbear-bin iperf3 nftables nmap openssh-client
LAB_UNPACKED := chrony unbound
# Draws the state diagram of the documentation.
SITE_PACKAGES := graphviz

.DEFAULT_GOAL := help
.PHONY: help demo lab test lint bench experiments deb docs site dist clean

help: ## show this
	@awk -F ': ## | ## ' '/^[a-z]+:.*## /{sub(/:.*/, "", $$1); printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/installed packages ## a small campus on a real switch, judged live for 30 s
	deploy/as-root $(BIN)/chamaleonet demo

lab: $(VENV)/installed packages lab-packages ## a campus with planted failures, and what was found of them
	deploy/as-root rm -rf build/lab/$(SCENARIO)
	deploy/as-root env "PATH=$(CURDIR)/.tools:$$PATH:/usr/sbin:/sbin" \
		$(BIN)/chamaleonet lab run $(SCENARIO) -o build/lab/$(SCENARIO)

test: $(VENV)/installed packages test-packages lab-packages .tools/prometheus $(VENV)-ryu/installed ## run all tests
	# As root, each of the processes has a network and an Open vSwitch of its own: conftest.py.
	# Files in their own order: by number of tests, the few that take minutes would come last.
	$(BIN)/pytest --cov --cov-report=term:skip-covered -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed site ## style, types, the direction of imports, generated documentation
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check
	$(BIN)/python deploy/grafana/generate.py --check

bench: $(VENV)/installed packages ## compare with the peers; ratios of medians
	deploy/install-packages argus-server argus-client
	-$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/python -m benchmarks.replay
	$(BIN)/python -m benchmarks.floods
	deploy/as-root $(BIN)/python -m benchmarks.live
	$(BIN)/python -m benchmarks.scaling
	deploy/as-root $(BIN)/python -m benchmarks.logger
	deploy/as-root $(BIN)/python -m benchmarks.budget
	$(BIN)/python -m benchmarks.report

experiments: $(VENV)/installed packages ## run all experiments; docs/experiments.md tells of them
	deploy/as-root $(BIN)/python -m benchmarks.experiments
	$(BIN)/python docs/generate.py

deb: $(VENV)/installed ## a Debian package with all that it needs, in dist/
	$(BIN)/python deploy/debian/build.py

docs: $(VENV)/installed ## write what is generated: parts of docs/, Grafana's dashboards
	$(BIN)/python docs/generate.py
	$(BIN)/python deploy/grafana/generate.py

site: $(VENV)/installed site-packages ## build the documentation as a site; a warning is an error
	$(BIN)/mkdocs build --strict

dist: $(VENV)/installed ## build wheel and source distribution into dist/
	$(BIN)/python -m build

clean: ## remove all that was made here
	rm -rf $(VENV) $(VENV)-ryu .tools build dist .coverage* .*_cache benchmarks/.data
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: packages test-packages lab-packages site-packages
packages:
	@deploy/install-packages $(PACKAGES)

test-packages:
	@deploy/install-packages $(TEST_PACKAGES)

lab-packages: .tools/lab
	@deploy/install-packages $(LAB_PACKAGES)

site-packages:
	@deploy/install-packages $(SITE_PACKAGES)

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV) || { deploy/install-packages python3-venv && $(PYTHON) -m venv --clear $(VENV); }
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[test,lint,spark]'
	@touch $@

# Ryu 4.34 is the last one and needs yesterday's setuptools and Python: docs/ryu.md.
$(VENV)-ryu/installed: pyproject.toml $(VENV)/installed
	@$(PYTHON) -m venv --clear $(VENV)-ryu
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 12))'; then \
		$(VENV)-ryu/bin/pip install --quiet 'setuptools==57.5.0' wheel && \
		$(VENV)-ryu/bin/pip install --quiet --no-build-isolation 'ryu==4.34' && \
		$(VENV)-ryu/bin/pip install --quiet --editable .; \
	else rm $(VENV)-ryu/bin/python; echo "Ryu 4.34 needs Python 3.11: its test will be skipped"; fi
	@touch $@

# Programs taken out of their packages: no service is wanted.
.tools/prometheus: deploy/unpack
	@deploy/unpack $(@D) prometheus
	@touch $@

.tools/lab: deploy/unpack
	@deploy/unpack $(@D) $(LAB_UNPACKED)
	@touch $@
