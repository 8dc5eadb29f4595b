"""PyTorch + PEFT: forward, backward and AdamW of a LoRA step on a GPT-2 of random weights; seconds a step, peak memory.

    python bench/peers/peft_step.py --layers 12 --channels 768 --heads 12 --batch 8 --time 256 --steps 3
"""
import argparse, json, resource, time
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

a = argparse.ArgumentParser()
for name, default in dict(layers=12, channels=768, heads=12, batch=8, time=256, steps=3, threads=2, rank=8, checkpointing=0).items():
    a.add_argument(f"--{name}", type=int, default=default)
a = a.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(n_layer=a.layers, n_embd=a.channels, n_head=a.heads, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0))
if a.checkpointing:
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
targets = ["c_attn", "c_proj", "c_fc"]
model = get_peft_model(model, LoraConfig(r=a.rank, lora_alpha=16, target_modules=targets, fan_in_fan_out=True, task_type="CAUSAL_LM"))
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
ids = torch.randint(0, 50257, (a.batch, a.time))
seconds = []
for _ in range(a.steps):
    start = time.perf_counter()
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    seconds.append(time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"peer": "peft", **vars(a), "peakBytes": peak, "tokensPerSecond": a.batch * a.time / min(seconds), "seconds": seconds}))
