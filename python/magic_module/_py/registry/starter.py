"""The file that `magic-module registry init` writes."""

TEXT = """\
# What this installation approves. `magic-module registry lock` resolves it into pylock.modules.toml.
# Sizes are measured, and dependencies are found, so that neither is written here.

[modules.numpy]
display_name = "NumPy"
description = "Arrays and linear algebra"
version = "1.26.2"

[modules.pandas]
display_name = "Pandas"
description = "Tables and time series"
version = "2.1.4"
dependencies = ["numpy", "python-dateutil", "pytz"]

[modules.matplotlib]
display_name = "Matplotlib"
description = "Plots"
version = "3.8.2"
dependencies = ["numpy", "pillow"]

[modules.scipy]
display_name = "SciPy"
description = "Scientific computing"
version = "1.11.4"
dependencies = ["numpy"]

[modules.scikit-learn]
display_name = "scikit-learn"
description = "Machine learning"
version = "1.3.2"
dependencies = ["numpy", "scipy"]

[modules.yfinance]
description = "Market data from Yahoo"
requirement = "yfinance"

[modules.alpaca-trade-api]
description = "The Alpaca broker"
requirement = "alpaca-trade-api"

[modules.python-binance]
description = "The Binance exchange"
requirement = "python-binance"

[modules.ccxt]
description = "Many exchanges with one interface"
requirement = "ccxt"

[modules.stockstats]
description = "Indicators on tables of prices"
requirement = "stockstats"

[modules.plotly]
description = "Interactive plots"
requirement = "plotly"

[modules.seaborn]
description = "Statistical plots"
requirement = "seaborn"

# More of the same kind: pandas-ta, tensorflow, torch.
#
# [modules.torch]
# requirement = "torch"
# index = "https://download.pytorch.org/whl/cu118"      # binds this entry, and no other
#
# [modules.TA-Lib]
# requirement = "TA-Lib"
# system = { linux = "apt-get install libta-lib0-dev", macos = "brew install ta-lib" }
#
# [modules.internal-tools]
# source = "git+https://${GITHUB_TOKEN}@github.com/example/internal-tools.git@v1.0"
#
# [links.reports]                                        # loaded by magic_module.load_links("modules.toml")
# module = "internal_tools.reports"
# options = { currency = "EUR" }
#
# [names]                                                # import name = "distribution"
# talib = "TA-Lib"
"""
