"""Writes a table as a Workflow Run RO-Crate (Provenance Run Crate): files with hashes, one action per job, steps."""

import io
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rocrate.model import ContextEntity, SoftwareApplication
from rocrate.rocrate import ROCrate

from semiseg.base.errors import UserError
from semiseg.data.arrival.zipped import write_zip
from semiseg.graph.specs import as_text
from semiseg.jobs.record import OUTSIDE, Record
from semiseg.proof.crate.contents import PARAMS, README, WORKFLOW, Contents, Piece
from semiseg.proof.provenance import Link

CRATE = "1.1"  # the newest release of RO-Crate that the run profiles build on
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}  # younger than the context of RO-Crate 1.1
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
SNAKEMAKE = "https://snakemake.github.io/"
DONE = "http://schema.org/CompletedActionStatus"
LICENCE = "The code is under Apache-2.0. No licence was given for the results."
FORMATS = {
    ".json": "application/json",
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".tex": "application/x-tex",
    ".html": "text/html",
    ".yaml": "application/yaml",
    ".txt": "text/plain",
    ".smk": "text/plain",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
    ".safetensors": "application/octet-stream",
}


def write_crate(contents: Contents, out: Path, zipped: bool, licence: str = LICENCE, author: str | None = None) -> None:
    """Write the crate as a new folder or as one zip file. Equal contents give equal bytes.

    licence: of the results, as a sentence or an address. author: no author is named without it. Raises UserError when
    ``out`` exists already.
    """
    if out.exists():
        raise UserError(f"{out} exists already: give a new name")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=".crate-"))
    try:
        _Crate(contents, licence, author).crate.write(folder / "crate")
        if zipped:
            files = [path for path in (folder / "crate").rglob("*") if path.is_file()]
            write_zip(out, {path.relative_to(folder / "crate").as_posix(): path for path in files})
        else:
            (folder / "crate").rename(out)
    finally:
        shutil.rmtree(folder)


class _Crate:
    """The entities of one crate, built in the order in which they refer to each other."""

    def __init__(self, contents: Contents, licence: str, author: str | None) -> None:
        self.contents = contents
        self.jobs = [(link, link.record) for link in contents.chain if link.record is not None]
        self.crate = ROCrate(version=CRATE, gen_preview=False)
        self.crate.metadata.extra_terms.update(TERMS)
        self.author = None if author is None else self._add("#author", "Person", name=author)
        self.files: dict[str, Any] = {}
        self.workflow = self._workflow()
        self._files()
        self.tools = self._tools()
        self._run([self._action(link, record) for link, record in self.jobs])
        self._root(licence)

    def _add(self, name_in_crate: str, kind: str, /, **properties: Any) -> Any:
        return self.crate.add(
            ContextEntity(self.crate, name_in_crate, properties={"@type": kind, **_compact(properties)})
        )

    def _root(self, licence: str) -> None:
        root, last = self.crate.root_dataset, self.jobs[-1][1]
        root["name"] = str(last["params"].get("title", self.contents.target))
        root["description"] = (
            f"{self.contents.target} of semiseg with all that stands behind it: scores, parameters, splits, hashes of "
            "the raw data, workflow, and a lineage record per job."
        )
        root["datePublished"] = last["time"]["end"]
        is_address = licence.startswith(("http://", "https://"))
        root["license"] = self._add(licence, "CreativeWork", name=licence) if is_address else licence
        if self.author is not None:
            root["author"] = self.author
        root["conformsTo"] = [
            self._add(identifier, "CreativeWork", name=name, version=version)
            for identifier, (name, version) in PROFILES.items()
        ]

    def _workflow(self) -> Any:
        """The Snakefile as the main entity. Its version is the commit of the last job."""
        kinds = {"@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]}
        workflow = self.crate.add_workflow(
            self._source(WORKFLOW), WORKFLOW, main=True, lang="snakemake", properties=kinds
        )
        workflow["name"] = "semiseg"
        workflow["version"] = _version(self.jobs[-1][1])
        workflow["conformsTo"] = self._add(BIOSCHEMAS, "CreativeWork", name="ComputationalWorkflow", version="1.0")
        self.files[WORKFLOW] = workflow
        self._describe(workflow, self.contents.pieces[WORKFLOW], WORKFLOW)
        return workflow

    def _files(self) -> None:
        for path, piece in self.contents.pieces.items():
            if path != WORKFLOW:
                self.files[path] = self.crate.add_file(self._source(path), path)
                self._describe(self.files[path], piece, path)
        self.files[README]["about"] = self.crate.root_dataset
        listed = {entry.path: entry for link, _ in self.jobs for entry in link.outputs}
        for path in sorted(set(listed) & set(self.contents.absent)):
            self.files[path] = self._add(
                f"#absent/{quote(path)}",
                "CreativeWork",
                name=path,
                description="left out of this crate on purpose; known by its hash",
                sha256=listed[path].sha256,
                contentSize=str(listed[path].bytes),
            )

    def _source(self, path: str) -> Any:
        """The source for the library: the path of the file, or its bytes as a stream."""
        content = self.contents.pieces[path].content
        return content if isinstance(content, Path) else io.BytesIO(content)

    def _describe(self, entity: Any, piece: Piece, path: str) -> None:
        entity["sha256"] = piece.sha256
        entity["contentSize"] = str(piece.bytes)
        entity["encodingFormat"] = FORMATS.get(Path(path).suffix, "text/plain")
        entity["name"] = path

    def _tools(self) -> dict[tuple[str, str], Any]:
        """One tool per rule and code hash, because each method runs other code."""
        tools: dict[tuple[str, str], Any] = {}
        for _, record in self.jobs:
            key = record["rule"], record["code"]["hash"]
            if key not in tools:
                tools[key] = self.crate.add(
                    SoftwareApplication(
                        self.crate,
                        f"#tool/{key[0]}/{key[1]}",
                        properties={
                            "name": f"semiseg {key[0]}",
                            "description": f"the verb {key[0]} of semiseg; identified by the hash of its code",
                            "identifier": key[1],
                            "softwareVersion": _version(record),
                        },
                    )
                )
        self.workflow["hasPart"] = list(tools.values())
        return tools

    def _action(self, link: Link, record: Record) -> Any:
        """The action of a job: its tool, inputs, outputs, parameters and times."""
        name = f"{record['rule']} {link.main}"
        spec = self._add(
            f"#params/{record['id']}", "PropertyValue", name=f"parameters of {name}", value=as_text(record["params"])
        )
        return self._add(
            f"#job/{record['id']}",
            "CreateAction",
            name=name,
            description=_environment(record),
            identifier=record["id"],
            instrument=self.tools[record["rule"], record["code"]["hash"]],
            object=[*self._entities(link.inputs), spec],
            result=self._entities(link.outputs),
            subjectOf=self.files[str(link.path)],
            **self._when(record["time"]["start"], record["time"]["end"]),
        )

    def _entities(self, entries: Any) -> list[Any]:
        return [self.files[entry.path] for entry in entries if entry.path != OUTSIDE]

    def _when(self, start: str, end: str) -> dict[str, Any]:
        times = {"startTime": _with_offset(start), "endTime": _with_offset(end), "actionStatus": DONE}
        return times if self.author is None else {**times, "agent": self.author}

    def _run(self, actions: list[Any]) -> None:
        """The run of the whole workflow, its steps, and the engine."""
        steps = self._steps()
        controls = [
            self._add(
                f"#control/{record['id']}",
                "ControlAction",
                name=f"run {record['rule']} for {link.main}",
                instrument=steps[record["rule"]],
                object=action,
            )
            for action, (link, record) in zip(actions, self.jobs, strict=True)
        ]
        when = self._when(
            min(record["time"]["start"] for _, record in self.jobs),
            max(record["time"]["end"] for _, record in self.jobs),
        )
        first = {entry.path for link, _ in self.jobs if not link.inputs for entry in link.outputs}
        run = self._add(
            "#run",
            "CreateAction",
            name=f"build {self.contents.target}",
            description=f"all jobs behind {self.contents.target}, each an action of its own",
            instrument=self.workflow,
            object=[self.files[PARAMS], *(self.files[path] for path in sorted(first))],
            result=self._entities(self.jobs[-1][0].outputs),
            **when,
        )
        version = str(self.jobs[-1][1]["environment"]["packages"]["snakemake"])
        engine = self._add(SNAKEMAKE, "SoftwareApplication", name="Snakemake", url=SNAKEMAKE, softwareVersion=version)
        organised = self._add(
            "#organize",
            "OrganizeAction",
            name=f"organise the jobs behind {self.contents.target}",
            instrument=engine,
            object=controls,
            result=run,
            **when,
        )
        self.crate.root_dataset["mentions"] = [run, *actions, organised]

    def _steps(self) -> dict[str, Any]:
        """One step per rule, in the order in which the chain has them."""
        steps: dict[str, Any] = {}
        for rule in dict.fromkeys(record["rule"] for _, record in self.jobs):
            tools = [tool for (name, _), tool in self.tools.items() if name == rule]
            steps[rule] = self._add(
                f"#step/{rule}", "HowToStep", name=f"rule {rule}", position=str(len(steps) + 1), workExample=tools
            )
        self.workflow["step"] = list(steps.values())
        return steps


def _compact(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties with each list of one element replaced by the element, as RO-Crate writes them."""
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in properties.items()
    }


def _version(record: Record) -> str:
    """The commit of a job's source, where it is known, and the hash of the package."""
    source = record["source"]
    package = f"package sha256 {source['package']}"
    if source["commit"] is None:
        return package
    return f"commit {source['commit']}{' with changes' if source['dirty'] else ''}, {package}"


def _environment(record: Record) -> str:
    """Software and machine of a job in one sentence."""
    environment = record["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in sorted(environment["packages"].items()) if version)
    device = f", on {environment['device']}" if "device" in environment else ""
    return (
        f"Python {environment['python']} on {environment['platform']} ({environment['processor']}){device}: {packages}"
    )


def _with_offset(time: str) -> str:
    """A time in UTC with the offset that the profiles require."""
    return time.replace("Z", "+00:00")
