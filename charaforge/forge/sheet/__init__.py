"""The character sheet: views, expressions, poses and outfits of one LoRA as one labelled picture."""

from charaforge.forge.sheet.making import SheetPlan, draw_sheet, usual_outfit

__all__ = ["SheetPlan", "draw_sheet", "usual_outfit"]
