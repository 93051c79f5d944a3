"""Steps about resources that belong together: terraform-compliance alone cannot tell one instance's from another's."""

from radish import then, world
from terraform_compliance.common.error_handling import Error


def planned(kind):
    return [resource for resource in world.config.terraform.resources.values() if resource["type"] == kind]


@then('each must have its own "{kind}"')
def each_must_have_its_own(step, kind):
    """Of the same key of ``for_each``, or without one as it has none."""
    keys = [resource.get("index") for resource in planned(kind)]
    for resource in step.context.stash:
        if keys.count(resource.get("index")) != 1:
            Error(step, f"{resource['address']} has {keys.count(resource.get('index'))} of {kind}")


@then('each must have its own "{kind}" by its {key:PROPERTY}')
def each_must_have_its_own_by(step, kind, key):
    """That names it by the same value of ``key``."""
    values = [resource["values"].get(key) for resource in planned(kind)]
    for resource in step.context.stash:
        value = resource["values"].get(key)
        if value is None or values.count(value) != 1:
            Error(step, f"{resource['address']} has {values.count(value)} of {kind}")


@then('its {path} must name a planned "{kind}"')
def its_path_must_name_a_planned(step, path, kind):
    """``path`` is a key, or keys inside of blocks, with dots between."""
    names = {resource["values"]["name"] for resource in planned(kind)}
    for resource in step.context.stash:
        value = resource["values"]
        for part in path.split("."):
            value = value[0] if isinstance(value, list) and value else value
            value = value.get(part) if isinstance(value, dict) else None
        if value not in names:
            Error(step, f"{resource['address']} names {value}, which is no {kind} of the plan")
