"""Home Assistant's own core with its MQTT integration and nothing else. Reads and writes lines of JSON:

{"do": "states"}              every entity of the box: its state, and what the registry has of it
{"do": "press", "entity": …}  presses a button
{"do": "log"}                 warnings and errors of Home Assistant since its start
"""
import asyncio
import json
import logging
import pathlib
import sys
import tempfile

from homeassistant import auth, bootstrap, config_entries, core, loader
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.setup import async_setup_component


class Kept(logging.Handler):
    """What Home Assistant complains about."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(f"{record.levelname} {record.name}: {record.getMessage()}")


async def started(mqtt_port, http_port):
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "configuration.yaml").write_text("")
    hass = core.HomeAssistant(str(folder))
    hass.config.skip_pip = True
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [], [])
    # A server on which nobody calls: the MQTT integration wants one.
    http = {"http": {"server_host": "127.0.0.1", "server_port": http_port}}
    for component, config in (("homeassistant", {}), ("http", http)):
        if not await async_setup_component(hass, component, config):
            sys.exit(f"Home Assistant's {component} does not start: see above")
    entry = config_entries.ConfigEntry(
        version=2, minor_version=1, domain="mqtt", title="broker", source="user", unique_id=None, options={},
        data={"broker": "127.0.0.1", "port": mqtt_port, "protocol": "5"}, discovery_keys={}, subentries_data=None)
    await hass.config_entries.async_add(entry)
    await hass.async_start()
    return hass


def states(hass):
    entities = entity_registry.async_get(hass).entities
    devices = device_registry.async_get(hass).devices
    found = {}
    for entry in entities.values():
        state = hass.states.get(entry.entity_id)
        device = devices.get(entry.device_id) if entry.device_id else None
        found[entry.unique_id] = {
            "entity": entry.entity_id,
            "state": state.state if state else None,
            "category": entry.entity_category,
            "device": device.name if device else None,
            "software": device.sw_version if device else None,
        }
    return {"entities": found, "devices": len(devices)}


async def main(mqtt_port, http_port):
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    kept = Kept()
    logging.getLogger().addHandler(kept)
    hass = await started(mqtt_port, http_port)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps({"started": True}), flush=True)
    while line := await lines.readline():
        asked = json.loads(line)
        await hass.async_block_till_done()
        if asked["do"] == "states":
            answer = states(hass)
        elif asked["do"] == "press":
            await hass.services.async_call("button", "press", {"entity_id": asked["entity"]}, blocking=True)
            answer = {"pressed": asked["entity"]}
        else:
            answer = {"log": kept.lines}
        print(json.dumps(answer), flush=True)
    await hass.async_stop(force=True)


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
