"""Plain data to typed blocks and back, through cattrs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from operator import eq
from typing import Any, Literal, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from harness.components import get
from harness.spec.blocks import MethodUse, Names, Select, Spec, Sweep, Use
from harness.spec.claims import KINDS, Claim
from harness.spec.seeds import SeedAxes, SeedChoice, SeedList, SeedRange

# The key that names the component, where it is not ``name``.
NAME_KEYS = {"forget_sets": "set"}
_SPELLED = {"yes": True, "no": False}


def name_key(kind: str) -> str:
    """The key under which a spec names a component of ``kind``."""
    return NAME_KEYS.get(kind, "name")


def spelled(field: attrs.Attribute[Any]) -> str:
    """The key of ``field`` in a spec: its name, without the underscore of a reserved word."""
    return field.name.removesuffix("_")


def structure(data: Mapping[str, Any]) -> Spec:
    """The typed spec of resolved, schema-checked data."""
    return _converter().structure(data, Spec)


def structure_claim(data: Mapping[str, Any]) -> Claim:
    """The typed claim of plain data; one that does not say its kind is a number."""
    found: Claim = _converter().structure(data, KINDS[data.get("claim", "number")])
    return found


def structure_block(cls: type, data: Mapping[str, Any]) -> Any:
    """The typed block ``cls`` of plain data."""
    return _converter().structure(data, cls)


def unstructure(spec: Spec) -> dict[str, Any]:
    """Plain data with every default filled in: the resolved spec that is hashed and shown."""
    plain: dict[str, Any] = _converter().unstructure(spec)
    return plain


def unstructure_settings(settings: Any) -> dict[str, Any]:
    """Plain data of any block or settings object."""
    plain: dict[str, Any] = _converter().unstructure(settings)
    return plain


def structure_seeds(data: Any) -> SeedChoice:
    """The ``seeds`` of a spec from plain data."""
    found: SeedChoice = _converter().structure(data, SeedChoice)  # type: ignore[arg-type]
    return found


def structure_use(kind: str, data: Any) -> Use:
    """The ``Use`` that ``ssd`` or ``{name: ssd, alpha: 10}`` stands for."""
    if isinstance(data, Use):
        return data
    plain = {name_key(kind): data} if isinstance(data, str) else dict(data)
    name = plain.pop(name_key(kind))
    return Use(kind, name, _converter().structure(plain, get(kind, name).settings))


def _unstructure_use(use: Use) -> dict[str, Any]:
    return {name_key(use.kind): use.name, **unstructure_settings(use.settings)}


def _structure_method(data: Any, _: type) -> MethodUse:
    plain = {"name": data} if isinstance(data, str) else dict(data)
    own: dict[str, Any] = {
        key: plain.pop(key) for key in ("label", "select", "keep", "max_cost") if key in plain
    }
    chosen = own.get("select")
    return MethodUse(
        use=structure_use("methods", plain),
        label=own.get("label") or plain["name"],
        select=_converter().structure(chosen, Select) if chosen is not None else None,
        keep=_to_bool(own.get("keep", False)),
        max_cost=own.get("max_cost"),
    )


def _unstructure_method(method: MethodUse) -> dict[str, Any]:
    select = None if method.select is None else unstructure_settings(method.select)
    own = {"label": method.label, "select": select, "keep": method.keep}
    return {**_unstructure_use(method.use), **own, "max_cost": method.max_cost}


def _to_bool(value: Any) -> bool:
    return _SPELLED[value] if isinstance(value, str) else bool(value)


def _to_int(value: Any) -> int:
    if value != int(value):
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)


def _sweepable(convert: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, Mapping):
            return Sweep(tuple(map(convert, value["sweep"])), value.get("zip"))
        return convert(value)

    return hook


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _literal(kind: Any) -> Callable[[Any, Any], Any]:
    def convert(value: Any) -> Any:
        if value not in get_args(kind):
            raise ValueError(f"{value!r} is not one of {get_args(kind)}")
        return value

    return _sweepable(convert)


def _to_names(value: Any, _: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value))


def _list_or(cls: type, converter: Converter) -> Callable[[Any, Any], Any]:
    """Structures whole numbers in a list, or a mapping as the block ``cls``."""

    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, Mapping):
            return converter.structure(value, cls)
        return tuple(map(_to_int, value))

    return hook


def _unstructure_sweep(sweep: Sweep) -> dict[str, Any]:
    return {"sweep": list(sweep.values)} | ({"zip": sweep.zip} if sweep.zip else {})


def _use_hook(field: attrs.Attribute[Any]) -> Any:
    kind, many = field.metadata["use"], field.metadata["many"]

    def hook(value: Any, _: Any) -> Any:
        if value is None:
            return None
        return tuple(structure_use(kind, v) for v in value) if many else structure_use(kind, value)

    return override(struct_hook=hook)


def _block_hook(converter: Converter) -> Callable[[type], Callable[..., Any]]:
    def factory(cls: type) -> Callable[..., Any]:
        fields = attrs.fields(cls)
        special: dict[str, Any] = {
            f.name: override(rename=spelled(f)) for f in fields if spelled(f) != f.name
        }
        special |= {f.name: _use_hook(f) for f in fields if "use" in f.metadata}
        return make_dict_structure_fn(
            cls,
            converter,
            _cattrs_forbid_extra_keys=True,
            _cattrs_detailed_validation=False,
            **special,
        )

    return factory


@cache
def _converter() -> Converter:
    converter = Converter(detailed_validation=False, forbid_extra_keys=True)
    ours = (Use, MethodUse, Sweep)
    converter.register_structure_hook_factory(
        lambda cls: isinstance(cls, type) and attrs.has(cls) and cls not in ours,
        _block_hook(converter),
    )
    for kind, convert in ((float, float), (int, _to_int), (str, str), (bool, _to_bool)):
        converter.register_structure_hook(kind, _sweepable(convert))
    converter.register_structure_hook_factory(_is_literal, _literal)
    converter.register_structure_hook(MethodUse, _structure_method)
    converter.register_structure_hook_func(lambda kind: kind == Names, _to_names)
    converter.register_structure_hook_func(
        partial(eq, Claim), lambda data, _: structure_claim(data)
    )
    for union, cls in ((SeedChoice, SeedAxes), (SeedList, SeedRange)):
        converter.register_structure_hook_func(partial(eq, union), _list_or(cls, converter))
    converter.register_unstructure_hook_factory(
        lambda cls: isinstance(cls, type) and attrs.has(cls) and cls not in ours,
        lambda cls: _unstructure_fields,
    )
    converter.register_unstructure_hook(Use, _unstructure_use)
    converter.register_unstructure_hook(MethodUse, _unstructure_method)
    converter.register_unstructure_hook(Sweep, _unstructure_sweep)
    return converter


def _unstructure_fields(block: Any) -> dict[str, Any]:
    return {spelled(f): _plain(getattr(block, f.name)) for f in attrs.fields(type(block))}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return _converter().unstructure(value, unstructure_as=type(value))
