// Numbers for people: counts, bytes, times, rates. Always short, always with a unit, never locale-dependent.

/** 1234567 -> 1,234,567 */
export function formatCount(count: number): string {
	return Math.round(count).toLocaleString("en-US");
}

/** 124439808 -> 124.4M */
export function formatShortCount(count: number): string {
	const [unit, size] = (
		[
			["B", 1e9],
			["M", 1e6],
			["K", 1e3],
		] as const
	).find(([, size]) => count >= size) ?? ["", 1];
	return size === 1 ? String(Math.round(count)) : `${(count / size).toFixed(1)}${unit}`;
}

/** Powers of 1024: 1536 -> 1.5 KiB */
export function formatBytes(bytes: number): string {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let value = bytes;
	let index = 0;
	// 1023.95 would be shown as 1024.0.
	while (value >= 1023.95 && index < units.length - 1) {
		value /= 1024;
		index++;
	}
	return index === 0 ? `${Math.round(value)} B` : `${value.toFixed(1)} ${units[index]}`;
}

/** The two largest units: 3725 -> 1h 2m */
export function formatSeconds(seconds: number): string {
	if (!Number.isFinite(seconds) || seconds < 0) return "?";
	if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
	const whole = Math.round(seconds);
	const [days, hours, minutes] = [
		Math.floor(whole / 86_400),
		Math.floor(whole / 3600) % 24,
		Math.floor(whole / 60) % 60,
	];
	if (days > 0) return `${days}d ${hours}h`;
	if (hours > 0) return `${hours}h ${minutes}m`;
	return minutes > 0 ? `${minutes}m ${whole % 60}s` : `${whole}s`;
}

/** A learning rate: 0.00005 -> 5.0e-5 */
export function formatRate(rate: number): string {
	return rate === 0
		? "0"
		: Math.abs(rate) >= 0.01 && Math.abs(rate) < 1000
			? rate.toPrecision(3)
			: rate.toExponential(1);
}

/** A loss, a norm, a metric: four digits after the point while that says something. */
export function formatLoss(loss: number): string {
	if (!Number.isFinite(loss)) return String(loss);
	return Math.abs(loss) >= 1e5 || (loss !== 0 && Math.abs(loss) < 1e-4) ? loss.toExponential(2) : loss.toFixed(4);
}
