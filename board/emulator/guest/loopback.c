/* The least that a program can do with a sound card: what the microphone gives, the
 * speaker gets. It is what callbox's work is compared with.
 *
 * Use:   loopback PCM        48 kHz, one channel, 16 bit, periods of 10 ms, 3 of them: as
 *                            callbox opens its card; until it is killed. chrt before it.
 * Undo:  nothing; made and put into the guest by board/emulator/figures.
 */
#include <alsa/asoundlib.h>

#define PERIOD 480
#define PERIODS 3

static short samples[PERIOD];

static void must(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "loopback: %s: %s\n", what, snd_strerror(result));
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
	must(snd_pcm_hw_params_set_rate(pcm, params, 48000, 0), "rate");
	must(snd_pcm_hw_params_set_period_size_near(pcm, params, &period, NULL), "period");
	must(snd_pcm_hw_params_set_buffer_size_near(pcm, params, &buffer), "buffer");
	must(snd_pcm_hw_params(pcm, params), "parameters");
	return pcm;
}

static void begin(snd_pcm_t *capture, snd_pcm_t *playback)
{
	snd_pcm_drop(playback);
	must(snd_pcm_prepare(playback), "prepare");
	memset(samples, 0, sizeof(samples));
	for (int n = 0; n < PERIODS; n++)
		snd_pcm_writei(playback, samples, PERIOD);
	snd_pcm_drop(capture);
	must(snd_pcm_prepare(capture), "prepare");
	must(snd_pcm_start(capture), "start");
}

int main(int argc, char **argv)
{
	snd_pcm_t *capture, *playback;

	if (argc != 2) {
		fprintf(stderr, "use: loopback PCM\n");
		return 2;
	}
	capture = open_pcm(argv[1], SND_PCM_STREAM_CAPTURE);
	playback = open_pcm(argv[1], SND_PCM_STREAM_PLAYBACK);
	begin(capture, playback);
	for (;;) {
		if (snd_pcm_readi(capture, samples, PERIOD) < 0 ||
		    snd_pcm_writei(playback, samples, PERIOD) < 0)
			begin(capture, playback);
	}
}
