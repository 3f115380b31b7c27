"""What README.md says that can be read off the tree: the table of settings, and where its links lead."""

import importlib.machinery
import importlib.util
import re

from source_text import ROOT

README = (ROOT / "README.md").read_text()


def settings_table():
    loader = importlib.machinery.SourceFileLoader("settings_table", str(ROOT / "proxy-config" / "settings-table"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def test_the_table_of_settings_is_the_schemas():
    table = settings_table()
    assert len(table.table().splitlines()) > 30
    assert table.put_into(README) == README, "proxy-config/settings-table --write"


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 10
    gone = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not gone, gone
