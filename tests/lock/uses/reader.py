import io

import ruamel.yaml
import yaml

text = "a: [1, 2]\nb: {c: d}\n"
print(yaml.safe_load(text), yaml.__with_libyaml__)
print(dict(ruamel.yaml.YAML(typ="safe").load(io.StringIO(text))))
