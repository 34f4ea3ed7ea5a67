/* The room in which the speaker and the microphone are: what the one plays the other
 * hears again, softer, beside a hiss, and whoever speaks into it.
 *
 * Use:   room PCM EAR MOUTH  PCM is the far side of callbox's card, 48 kHz, one channel, 16 bit.
 *                            What callbox plays is written to EAR, zeros where the room was
 *                            too slow for the card. A file that is moved to
 *                            MOUTH is spoken, and removed after its last sample was heard.
 *                            Prints, by the monotonic clock in seconds: "ear" and when its
 *                            first sample was played, "mouth" and when a mouth's was heard.
 *                            Ends when the card goes. chrt before it.
 * Undo:  nothing; made and put into the guest by board/emulator/run.
 */
#include <alsa/asoundlib.h>
#include <time.h>
#include <unistd.h>

#define RATE 48000
#define PERIOD 480
#define PERIODS 4
/* The way from speaker to microphone: samples, and the part of what is played. */
#define PAST 4096
static const struct { int after, part; } ways[] = { { 480, 6 }, { 1130, 12 }, { 2210, -16 } };

static short played[PAST];
static unsigned long now;
/* Samples in the ear's file. */
static long heard;

static void must(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "room: %s: %s\n", what, snd_strerror(result));
		exit(1);
	}
}

static snd_pcm_t *open_pcm(const char *name, snd_pcm_stream_t stream)
{
	snd_pcm_uframes_t period = PERIOD, buffer = PERIODS * PERIOD;
	snd_pcm_hw_params_t *params;
	snd_pcm_t *pcm;

	must(snd_pcm_open(&pcm, name, stream, 0), name);
	snd_pcm_hw_params_alloca(&params);
	must(snd_pcm_hw_params_any(pcm, params), "parameters");
	must(snd_pcm_hw_params_set_access(pcm, params, SND_PCM_ACCESS_RW_INTERLEAVED), "access");
	must(snd_pcm_hw_params_set_format(pcm, params, SND_PCM_FORMAT_S16), "format");
	must(snd_pcm_hw_params_set_channels(pcm, params, 1), "channels");
	must(snd_pcm_hw_params_set_rate(pcm, params, RATE, 0), "rate");
	must(snd_pcm_hw_params_set_period_size_near(pcm, params, &period, NULL), "period");
	must(snd_pcm_hw_params_set_buffer_size_near(pcm, params, &buffer), "buffer");
	must(snd_pcm_hw_params(pcm, params), "parameters");
	return pcm;
}

static void begin(snd_pcm_t *capture, snd_pcm_t *playback)
{
	static const short silence[PERIOD];

	snd_pcm_drop(playback);
	must(snd_pcm_prepare(playback), "prepare");
	for (int n = 0; n < PERIODS - 1; n++)
		snd_pcm_writei(playback, silence, PERIOD);
	snd_pcm_drop(capture);
	must(snd_pcm_prepare(capture), "prepare");
	must(snd_pcm_start(capture), "start");
}

/* So many samples from now, in seconds of the monotonic clock. */
static double from_now(long samples)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec + at.tv_nsec * 1e-9 + (double)samples / RATE;
}

/* What came between the last sample that was heard and the next one, at `at`: nothing was. */
static void miss(FILE *ear, double at)
{
	static double began;
	long missed;

	if (!heard) {
		began = at;
		printf("ear %.6f\n", began);
	}
	for (missed = (long)((at - began) * RATE) - heard; missed > 0; missed--, heard++)
		fwrite("\0", sizeof(short), 1, ear);
}

static short clip(int sample)
{
	return sample > 32767 ? 32767 : sample < -32768 ? -32768 : sample;
}

int main(int argc, char **argv)
{
	snd_pcm_t *capture, *playback;
	snd_pcm_sframes_t delay;
	FILE *ear, *mouth = NULL;
	unsigned seed = 1;
	int restarted = 1;

	if (argc != 4 || !(ear = fopen(argv[2], "wb"))) {
		fprintf(stderr, "use: room PCM EAR MOUTH\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	capture = open_pcm(argv[1], SND_PCM_STREAM_CAPTURE);
	playback = open_pcm(argv[1], SND_PCM_STREAM_PLAYBACK);
	begin(capture, playback);
	for (;;) {
		short in[PERIOD], said[PERIOD] = { 0 }, out[PERIOD];
		int read = snd_pcm_readi(capture, in, PERIOD);

		if (read == -ENODEV)
			return 0;
		if (read < PERIOD) {
			begin(capture, playback);
			restarted = 1;
			continue;
		}
		if (restarted) {
			snd_pcm_delay(capture, &delay);
			miss(ear, from_now(-delay - PERIOD));
			restarted = 0;
		}
		heard += fwrite(in, sizeof(short), PERIOD, ear);
		if (!mouth && (mouth = fopen(argv[3], "rb"))) {
			snd_pcm_delay(playback, &delay);
			printf("mouth %.6f\n", from_now(delay));
		}
		if (mouth && fread(said, sizeof(short), PERIOD, mouth) < PERIOD) {
			fclose(mouth);
			mouth = NULL;
			unlink(argv[3]);
		}
		for (int n = 0; n < PERIOD; n++, now++) {
			int sum = said[n];

			played[now % PAST] = in[n];
			for (size_t way = 0; way < sizeof(ways) / sizeof(*ways); way++)
				sum += played[(now - ways[way].after) % PAST] / ways[way].part;
			seed = seed * 1664525 + 1013904223;
			out[n] = clip(sum + (int)(seed >> 28) - 8);
		}
		if (now / PERIOD % 10 == 0)
			fflush(ear);
		if (snd_pcm_writei(playback, out, PERIOD) < 0) {
			begin(capture, playback);
			restarted = 1;
		}
	}
}
