"""What serve starts at first use: the built-in models, and the simulated provider where no address names another."""

from pathlib import Path

from mooring.config import Config
from mooring.gateway.config import ProviderConfig

from .on_demand import OnDemand, with_provider

BUILT_IN = ("minilm", "reader")


class LocalModels(OnDemand):
    """`local/…`."""

    def __init__(self, home: Path, weights: str | None = None) -> None:
        chosen = ["--weights", weights] if weights else []
        super().__init__(["local", "--", "--home", str(home), *chosen])

    def added_to(self, config: Config) -> Config:
        """The configuration with this process as the provider `local`, unless the file says where another is."""
        said = config.gateway.providers.get("local")
        if said is not None and said.base_url is not None:
            return config
        local = ProviderConfig(type="local", base_url=self.base_url, models=BUILT_IN)
        return with_provider(config, "local", local)


class Simulated(OnDemand):
    """A provider of `type = "sim"` without an address: offline, for tests of a user's own app."""

    def __init__(self) -> None:
        super().__init__(["sim", "--"])

    def added_to(self, config: Config) -> Config:
        """The configuration in which those providers have this address."""
        for name, provider in config.gateway.providers.items():
            if provider.type == "sim" and provider.base_url is None:
                here = provider.model_copy(update={"base_url": self.base_url})
                config = with_provider(config, name, here)
        return config
