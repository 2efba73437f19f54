SETTINGS = dict(
    callback=None, metavar=None, expose_value=True, is_eager=False, envvar=None, shell_complete=None, autocompletion=None,
    default_factory=None, parser=None, click_type=None, show_default=True, prompt=False, confirmation_prompt=False,
    prompt_required=True, hide_input=False, is_flag=None, flag_value=None, count=False, allow_from_autoenv=True, help=None,
    hidden=False, show_choices=True, show_envvar=True, case_sensitive=True, min=None, max=None, clamp=False, formats=None,
    mode=None, encoding=None, errors="strict", lazy=None, atomic=False, exists=False, file_okay=True, dir_okay=True,
    writable=False, readable=True, resolve_path=False, allow_dash=False, path_type=None, rich_help_panel=None,
)


class OptionInfo:
    def __init__(self, default, param_decls, settings):
        unknown = set(settings) - set(SETTINGS)
        assert not unknown, unknown
        self.__dict__.update({**SETTINGS, **settings})
        self.default = default
        self.param_decls = param_decls


class ArgumentInfo(OptionInfo):
    pass


def Option(default=..., *param_decls, **settings):
    return OptionInfo(default, param_decls, settings)


def Argument(default=..., **settings):
    return ArgumentInfo(default, (), settings)


class Exit(RuntimeError):
    pass


class BadParameter(Exception):
    pass


class Typer:
    pass


def echo(message):
    print(message)
