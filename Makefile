# labkit: `make lab` opens the lab, `make test` proves it. Needs Python 3.11 to 3.13 and make, nothing else.

export PIP_DISABLE_PIP_VERSION_CHECK = 1
RUN = PATH="$$PWD/.venv/bin:$$PATH" .venv/bin/python

.PHONY: help install lab test bench

help:
	@echo 'make lab      open JupyterLab on notebook 00          ARGS="--no-browser --port 9999" for a server'
	@echo 'make test     run every test                          ARGS="unit js" for some of its parts'
	@echo 'make bench    measure what the lab promises           ARGS="--list" for the names'
	@echo 'make install  only set up .venv                       PYTHON=/path/to/python3.12 to choose one'

lab: install
	@$(RUN) -m jupyterlab $$([ "$$(id -u)" != 0 ] || echo --allow-root) \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(ARGS)

test: install
	@$(RUN) tests/run.py $(ARGS)

bench: install
	@$(RUN) -m labkit.cli bench $(ARGS)

# .venv/installed says what was installed and where; it is written last, so an interrupted call is finished by the next.
install:
	@wanted=$$(cksum pyproject.toml requirements.lock; pwd); fits=; seen=; \
	if .venv/bin/python -c '' 2>/dev/null && [ "$$(cat .venv/installed 2>/dev/null)" = "$$wanted" ]; then exit 0; fi; \
	if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then \
		for python in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python); do \
			version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
			case $$version in 3.11|3.12|3.13) fits=$$python; break;; *) seen="$$seen $$version";; esac; \
		done; \
		if [ -z "$$fits" ]; then \
			echo "labkit needs Python 3.11, 3.12 or 3.13; found here:$${seen:- none}." \
				"Install one, or name one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; \
		fi; \
		if ! "$$fits" -c 'import venv, ensurepip' 2>/dev/null; then \
			echo "Python $$version is here without its venv module. Install it" \
				"(Debian, Ubuntu: apt-get install python$$version-venv), then call again." >&2; exit 1; \
		fi; \
		echo "Making .venv with Python $$version ..."; \
		"$$fits" -m venv --clear .venv || exit 1; \
	fi; \
	rm -f .venv/installed; \
	echo "Installing into .venv; the first time this takes some minutes ..."; \
	if [ -t 1 ]; then quiet=; else quiet=-q; fi; \
	.venv/bin/python -m pip install $$quiet -r requirements.lock \
	&& .venv/bin/python -m pip install -q --no-deps --no-build-isolation -e . \
	&& echo "$$wanted" > .venv/installed \
	|| { echo "The installation did not finish (see above). Call again to go on." >&2; exit 1; }
