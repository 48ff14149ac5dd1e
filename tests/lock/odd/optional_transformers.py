"""Looks for a dozen packages that may be there, and does its work without them."""

import pathlib

from transformers import AutoConfig, BertTokenizerFast
from transformers.utils import is_jinja_available, is_tokenizers_available, is_torch_available

pathlib.Path("vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n##s\n")
tokenizer = BertTokenizerFast("vocab.txt")
print(tokenizer("hello worlds")["input_ids"], tokenizer.decode([5, 6, 7]))
print(AutoConfig.for_model("bert").hidden_size, is_tokenizers_available(), is_torch_available(), is_jinja_available())
