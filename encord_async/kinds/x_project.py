class _Projects(Thing):
    word = "project"
    plural = "projects"
    items = DATASETS
    links = MappingProxyType({"ontology": ("ontology", "ontology_reference"), "copy_of": ("template", "copy_of")})
    lasting = ("ontology", "workflow_template_id", "copy_options")
    inner = API_KEY

    def draft(self, order: Order) -> Draft:
        entry = order.entry
        assert isinstance(entry, ProjectEntry)
        names = (order.title, entry.description)
        return self._copy(order, entry, names) if entry.copy_of is not None else self._create(order, entry, names)

    def _create(self, order: Order, entry: ProjectEntry, names: tuple[str, ...]) -> Draft:
        taken, ontology = order.items[: order.max_batch], order.links.get("ontology")
        operation = CreateProject(
            title=order.title,
            description=order.description,
            dataset_hashes=taken,
            ontology_hash=ontology,
            workflow_template_id=entry.workflow_template_id,
        )
        details: dict[str, object] = {
            **holding(self.references(entry), order.items, taken),
            "contents": [contents_digest(some) for some in grown(order.items, order.max_batch)],
            "ontology": ontology,
            "ontology_reference": entry.wanted_ontology,
            "workflow_template_id": entry.workflow_template_id,
        }
        needs = [("ontology", ontology)] if ontology else []
        needs += [("project", entry.workflow_template_id)] if entry.workflow_template_id else []
        return Draft(operation=operation, details=details, names=names, taken=order.max_batch, needs=tuple(needs))

    def _copy(self, order: Order, entry: ProjectEntry, names: tuple[str, ...]) -> Draft:
        template = order.links.get("copy_of")
        operation = CopyProject(
            project_hash=template or "",
            title=order.title,
            description=order.description,
            options=entry.copy_options,
        )
        details: dict[str, object] = {
            **holding(self.references(entry), order.items, ()),
            "copy_of": entry.copy_of,
            "template": template,
            "copy_options": sorted(entry.copy_options),
        }
        return Draft(operation=operation, details=details, names=names, needs=(("project", template or ""),))

    def hash_of(self, made: str) -> str:
        return made

    def probe(self, found_hash: str) -> GetProject:
        return GetProject(project_hash=found_hash)

    def imagined(self, stand_in: str, items: Collection[str]) -> Project:
        datasets = tuple(ProjectDataset(dataset_hash=item) for item in items)
        return Project(project_hash=stand_in, title="", datasets=datasets)

    async def listed(self, reads: Reads, dataset_api: DatasetAPI) -> AsyncIterator[Listed]:  # noqa: ARG002 - of datasets
        async for page in reads.pages(ListProjectsV2()):
            for one in page.results:
                is_admin = one.user_role == ProjectUserRole.ADMIN
                yield Listed(one.project_hash, one.title, one.description, is_admin, one)

    is_read_alone = True

    def names_of(self, item: Project) -> tuple[str, str | None]:
        return item.title, item.description

    def compares(self, entry: ProjectEntry, linked: Mapping[str, str | None]) -> tuple[str | None, str | None]:
        """The ontology, as its hash if it has one, and as the entry names it."""
        return linked.get("ontology"), entry.wanted_ontology

    def differences(self, wished: tuple[str | None, str | None], item: Project) -> Iterator[Otherwise]:
        found_hash, reference = wished
        wanted, held = found_hash or reference, item.ontology_hash or ""
        if wanted and wanted != held:
            yield Otherwise("ontology", wanted, held, is_unmade=found_hash is None)

    def closes(self, entry: ProjectEntry, relation: Relation) -> bool:
        """A copy may also hold what it took along."""
        taken_along = CopyOption.DATASETS if relation is DATASETS else CopyOption.COLLABORATORS
        return not (entry.copy_of and taken_along in entry.copy_options)

    async def lacking(self, reads: Reads, found_hash: str, order: Order) -> Sequence[str]:
        """The datasets that it lacks; refuses one that has another ontology."""
        project, wanted = await reads.execute(self.probe(found_hash)), order.links.get("ontology")
        if wanted and project.ontology_hash and project.ontology_hash != wanted:
            raise ConflictError(
                f"the project {found_hash} is there with the ontology {project.ontology_hash}, and {wanted} "
                "is wanted; an ontology cannot be exchanged over this API",
                code="ONTOLOGY_KEPT",
            )
        attached = {dataset.dataset_hash for dataset in project.datasets}
        return [item for item in order.items if item not in attached]

    async def look_up(self, reads: Reads, sought: Sought) -> Mapping[str, object]:
        return {
            owned.project.project_hash: owned.project
            for owned in await reads.execute(ListProjects(filter=ListingFilter(title_eq=sought.title)))
            if owned.user_role == ProjectUserRole.ADMIN
            and owned.project.title == sought.title
            and (owned.project.description or "") == sought.description
        }

    def is_told_by_contents(self, details: Mapping[str, object]) -> bool:
        """Nobody says what a copy holds."""
        return "contents" in details

    async def fits(self, reads: Reads, sought: Sought, found_hash: str) -> bool:
        project = await reads.execute(self.probe(found_hash))
        ontology = sought.details.get("ontology")
        if ontology and project.ontology_hash != ontology:
            return False
        stages = sought.details.get("contents")
        return isinstance(stages, list) and contents_digest(item.dataset_hash for item in project.datasets) in stages

    def compared(self, entry: ProjectEntry, details: Mapping[str, object]) -> dict[str, tuple[object, object]]:
        return {
            "workflow_template_id": (entry.workflow_template_id, details.get("workflow_template_id") or None),
            "copy_options": (sorted(entry.copy_options), details.get("copy_options") or []),
        }

    def made_alike(self, made: Mapping[str, object], details: Mapping[str, object]) -> bool:
        if ("copy_of" in made) != ("copy_of" in details):
            return False
        template = "template" if "template" in made else "copy_of"
        return super().made_alike(made, details) and made.get(template) == details.get(template)

    def references(self, entry: Entry) -> Sequence[str]:
        return list(dict.fromkeys(entry.datasets)) if isinstance(entry, ProjectEntry) else ()

    def linked(self, entry: Entry) -> Mapping[str, str]:
        assert isinstance(entry, ProjectEntry)
        found = {"ontology": entry.wanted_ontology, "copy_of": entry.copy_of}
        return {field: reference for field, reference in found.items() if reference is not None}


PROJECT: Final = _Projects()
