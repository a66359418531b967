# The two commands of the README, and four for those who change the code.
.PHONY: quickstart test lint bench gpu schema

quickstart:
	python -m pip install -q -e . -c constraints.txt
	harness run specs/quickstart.yaml --out runs/quickstart

test:
	python -m pip install -q -e '.[test]' -c constraints.txt
	python -m pytest

lint:
	python -m pip install -q -e '.[dev]' -c constraints.txt
	ruff format --check . && ruff check . && mypy

bench:
	for file in benchmarks/loop.py benchmarks/jobs.py benchmarks/planning.py benchmarks/commands.py benchmarks/forgetting.py; do python $$file || exit 1; done

# make gpu DATA=folder-with-cifar10: what no CPU can show, in half an hour; cut off, it goes on.
gpu:
	PYTHONPATH="$(CURDIR):$$PYTHONPATH" python benchmarks/gpu.py --device $(or $(DEVICE),cuda) \
		$(if $(DATA),--data "$(DATA)") $(if $(INTO),--into "$(INTO)")

schema:
	harness schema --write specs/schema/v1.json
