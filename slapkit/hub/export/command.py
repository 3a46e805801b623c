"""`slapkit export RUN --to clap|onnx|hub-folder --out FOLDER`: a trained model in a form that others read."""

from __future__ import annotations

import argparse
import os

FORMS = {
    "clap": "a folder that transformers' ClapModel loads",
    "onnx": "both towers as ONNX graphs (needs slapkit[export])",
    "hub-folder": "a folder for the Hugging Face Hub, which slapkit loads",
}


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line's parser."""
    export = commands.add_parser("export", help="write a trained model in a form that others read")
    export.add_argument("run", help="folder of a run of 02_train, or of a checkpoint")
    forms = "; ".join(f"{name}: {what}" for name, what in FORMS.items())
    export.add_argument("--to", required=True, choices=FORMS, metavar="FORM", help=forms)
    export.add_argument("--out", required=True, metavar="FOLDER", help="new folder for it")
    export.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    """Write the export, compared with the model, and say where it is."""
    from slapkit.hub import export
    from slapkit.runs import locate

    path = locate(args.run)
    if args.to == "hub-folder":
        done = export.to_hub_folder(path, args.out)
    else:
        from slapkit.hub.load import load_model

        model = load_model(path, device="cpu")
        run = next((f for f in (path, path.parent) if (f / "run.json").is_file()), None)
        card = export.model_card(model, run, form=args.to)
        done = (export.to_clap if args.to == "clap" else export.to_onnx)(model, args.out, card=card)
    print(f"export: {os.path.relpath(done)} ({FORMS[args.to]})")
