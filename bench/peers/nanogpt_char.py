"""A character-level GPT in plain PyTorch, trained as the small runs of attune are: the peer of the case "char".

Pre-norm blocks with GELU and tied embeddings, F.scaled_dot_product_attention, fused AdamW, gradients clipped to 1,
windows at random offsets. The sizes are those of the published recipe for laptops: 4 layers, 4 heads, 128 channels.
"""
import argparse, json, math, resource, time
import torch
from torch import nn
from torch.nn import functional as F

p = argparse.ArgumentParser()
p.add_argument("--data", required=True)
for name, default in (("layers", 4), ("heads", 4), ("channels", 128), ("block", 64), ("batch", 12), ("steps", 2000), ("threads", 2)):
    p.add_argument(f"--{name}", type=int, default=default)
a = p.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)

text = open(a.data, encoding="utf-8").read()
characters = sorted(set(text))
ids = torch.tensor([characters.index(c) for c in text])
train, held_out = ids[: len(ids) * 9 // 10], ids[len(ids) * 9 // 10 :]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(a.channels), nn.LayerNorm(a.channels)
        self.qkv, self.out = nn.Linear(a.channels, 3 * a.channels), nn.Linear(a.channels, a.channels)
        self.up, self.down = nn.Linear(a.channels, 4 * a.channels), nn.Linear(4 * a.channels, a.channels)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (s.view(b, t, a.heads, c // a.heads).transpose(1, 2) for s in self.qkv(self.norm1(x)).split(c, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(len(characters), a.channels), nn.Embedding(a.block, a.channels)
        self.blocks, self.norm = nn.ModuleList(Block() for _ in range(a.layers)), nn.LayerNorm(a.channels)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * a.layers) if residual else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, x, y):
        h = self.tokens(x) + self.places.weight
        for block in self.blocks:
            h = block(h)
        return F.cross_entropy((self.norm(h) @ self.tokens.weight.T).view(-1, len(characters)), y.view(-1))


def batch(source):
    starts = torch.randint(len(source) - a.block, (a.batch,))
    x = torch.stack([source[s : s + a.block] for s in starts])
    y = torch.stack([source[s + 1 : s + 1 + a.block] for s in starts])
    return x, y


model = Model()
decayed = [w for w in model.parameters() if w.dim() == 2]
kept = [w for w in model.parameters() if w.dim() < 2]
groups = [{"params": decayed, "weight_decay": 0.1}, {"params": kept, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
seconds = []
for step in range(a.steps):
    start = time.perf_counter()
    warm = min(1, step / 100)
    fall = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * max(0, step - 100) / max(1, a.steps - 100)))
    for group in optimizer.param_groups:
        group["lr"] = 1e-3 * (warm if step < 100 else fall)
    loss = model(*batch(train))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    seconds.append(time.perf_counter() - start)
with torch.no_grad():
    held = sum(model(*batch(held_out)).item() for _ in range(50)) / 50
seconds.sort()
print(json.dumps({"peer": f"torch {torch.__version__}", "steps": a.steps, "totalSeconds": sum(seconds),
                  "medianSeconds": seconds[len(seconds) // 2], "validationLoss": held,
                  "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
