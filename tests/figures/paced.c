// A sound card made of files and a clock, for alsa-lib: `type paced` of an asound.conf.
//
//   pcm_type.paced.lib "/tmp/x/libpaced.so"
//   pcm.mic { type paced file "/tmp/x/mic" epoch 81234 }
//   pcm.spk { type paced file "/tmp/x/spk" epoch 81234 }
//
// Build: gcc -O2 -Wall -shared -fPIC -DPIC -o libpaced.so paced.c -lasound (libasound2-dev)
//
// 16 bit mono at 48, 16 or 8 kHz. Sample n of the microphone, which is sample n modulo its
// length of FILE-RATE.raw, is taken n / RATE seconds after `epoch`, a time of the monotonic
// clock; sample n of FILE-RATE.heard was played then. So a program's delay is known to the
// sample. Its position moves in steps of 1 ms, as a USB card's does; it runs dry and over as
// a card does, and writes a line in FILE.xruns when it did.
//
// As with a card of the kernel, a program pays a system call for each transfer (here pread
// or pwrite) and one for each wait; and here one more, which sets the timer.

#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    snd_pcm_ioplug_t io;
    char path[512];
    int64_t epoch_ms;
    int file;
    int64_t length;            // samples of the microphone's file
    int16_t *early;            // written before the start
    int running, dry;
    int64_t start;             // sample, since epoch, of position 0
    int64_t moved;             // samples read or written since then
    int64_t avail_min;
} card_t;

static int64_t now_ms(const card_t *card) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000 - card->epoch_ms;
}

static int is_speaker(const card_t *card) { return card->io.stream == SND_PCM_STREAM_PLAYBACK; }

static int64_t position(const card_t *card) {
    return card->running ? now_ms(card) * card->io.rate / 1000 - card->start : 0;
}

static int64_t available(const card_t *card) {
    int64_t at = position(card);
    return is_speaker(card) ? (int64_t)card->io.buffer_size - (card->moved - at) : at - card->moved;
}

// The timer's descriptor is readable from when there is enough to move.
static void arm(const card_t *card) {
    int64_t wanted = card->moved + card->avail_min;
    if (is_speaker(card)) wanted -= card->io.buffer_size;
    int64_t sample = card->start + wanted;
    int64_t ms = (sample * 1000 + card->io.rate - 1) / card->io.rate + card->epoch_ms;
    if (!card->running && !is_speaker(card)) ms = INT32_MAX * 1000LL;
    if (!card->running && is_speaker(card)) ms = 1;
    struct itimerspec at = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}};
    timerfd_settime(card->io.poll_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static int on_start(snd_pcm_ioplug_t *io) {
    card_t *card = io->private_data;
    card->start = now_ms(card) * io->rate / 1000;
    if (is_speaker(card) && pwrite(card->file, card->early, card->moved * 2, card->start * 2) < 0)
        return -errno;
    card->running = 1;
    arm(card);
    return 0;
}

static int on_stop(snd_pcm_ioplug_t *io) {
    card_t *card = io->private_data;
    card->running = 0;
    return 0;
}

static int on_prepare(snd_pcm_ioplug_t *io) {
    card_t *card = io->private_data;
    card->running = card->dry = 0;
    card->moved = 0;
    arm(card);
    return 0;
}

static snd_pcm_sframes_t on_pointer(snd_pcm_ioplug_t *io) {
    card_t *card = io->private_data;
    int64_t at = position(card);
    if (card->running && available(card) > (int64_t)io->buffer_size) {
        if (!card->dry && io->state != SND_PCM_STATE_DRAINING) {
            char path[600];
            snprintf(path, sizeof path, "%s.xruns", card->path);
            int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
            if (log >= 0 && write(log, "xrun\n", 5) < 0) perror(path);
            close(log);
        }
        card->dry = 1;
        return -EPIPE;
    }
    return at;
}

static snd_pcm_sframes_t on_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
                                     snd_pcm_uframes_t offset, snd_pcm_uframes_t size) {
    card_t *card = io->private_data;
    int16_t *samples = (int16_t *)((char *)areas->addr + (areas->first + areas->step * offset) / 8);
    if (!is_speaker(card)) {
        for (snd_pcm_uframes_t done = 0; done < size;) {
            int64_t at = (card->start + card->moved + done) % card->length;
            int64_t some = size - done < card->length - at ? size - done : card->length - at;
            if (pread(card->file, samples + done, some * 2, at * 2) != some * 2) return -EIO;
            done += some;
        }
    } else if (card->running) {
        if (pwrite(card->file, samples, size * 2, (card->start + card->moved) * 2) < 0)
            return -errno;
    } else {
        if (card->moved + size > io->buffer_size) return -EAGAIN;
        memcpy(card->early + card->moved, samples, size * 2);
    }
    card->moved += size;
    arm(card);
    return size;
}

static int on_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned int count,
                      unsigned short *revents) {
    card_t *card = io->private_data;
    int ready = count == 1 && (fds->revents & POLLIN) && available(card) >= card->avail_min;
    *revents = ready ? (is_speaker(card) ? POLLOUT : POLLIN) : 0;
    return 0;
}

static int on_hw_params(snd_pcm_ioplug_t *io, snd_pcm_hw_params_t *params) {
    card_t *card = io->private_data;
    char path[600];
    int flags = is_speaker(card) ? O_WRONLY | O_CREAT : O_RDONLY;
    snprintf(path, sizeof path, "%s-%u.%s", card->path, io->rate,
             is_speaker(card) ? "heard" : "raw");
    if (card->file >= 0) close(card->file);
    if ((card->file = open(path, flags | O_CLOEXEC, 0644)) < 0) return -errno;
    card->length = lseek(card->file, 0, SEEK_END) / 2;
    card->avail_min = io->period_size;
    free(card->early);
    card->early = calloc(io->buffer_size, 2);
    return card->early ? 0 : -ENOMEM;
}

static int on_sw_params(snd_pcm_ioplug_t *io, snd_pcm_sw_params_t *params) {
    card_t *card = io->private_data;
    snd_pcm_uframes_t least;
    snd_pcm_sw_params_get_avail_min(params, &least);
    card->avail_min = least;
    return 0;
}

static int on_close(snd_pcm_ioplug_t *io) {
    card_t *card = io->private_data;
    if (card->file >= 0) close(card->file);
    close(io->poll_fd);
    free(card->early);
    free(card);
    return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
    .start = on_start,
    .stop = on_stop,
    .prepare = on_prepare,
    .pointer = on_pointer,
    .transfer = on_transfer,
    .poll_revents = on_revents,
    .hw_params = on_hw_params,
    .sw_params = on_sw_params,
    .close = on_close,
};

static int constrain(snd_pcm_ioplug_t *io) {
    static const unsigned access[] = {SND_PCM_ACCESS_RW_INTERLEAVED};
    static const unsigned format[] = {SND_PCM_FORMAT_S16_LE};
    static const unsigned rates[] = {8000, 16000, 48000};
    int error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 1, access);
    if (!error) error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, format);
    if (!error) error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_RATE, 3, rates);
    if (!error) error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, 1, 1);
    if (!error) error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIODS, 2, 16);
    if (!error)
        error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 32, 8192);
    return error;
}

SND_PCM_PLUGIN_DEFINE_FUNC(paced) {
    snd_config_iterator_t i, next;
    const char *path = NULL;
    long epoch = 0;
    snd_config_for_each(i, next, conf) {
        snd_config_t *node = snd_config_iterator_entry(i);
        const char *id;
        if (snd_config_get_id(node, &id) < 0) continue;
        if (!strcmp(id, "file")) snd_config_get_string(node, &path);
        if (!strcmp(id, "epoch")) snd_config_get_integer(node, &epoch);
    }
    if (!path) return -EINVAL;
    card_t *card = calloc(1, sizeof *card);
    if (!card) return -ENOMEM;
    snprintf(card->path, sizeof card->path, "%s", path);
    card->epoch_ms = epoch * 1000LL;
    card->file = -1;
    card->io.version = SND_PCM_IOPLUG_VERSION;
    card->io.name = "a card made of files";
    card->io.flags = SND_PCM_IOPLUG_FLAG_MONOTONIC | SND_PCM_IOPLUG_FLAG_BOUNDARY_WA;
    card->io.callback = &callbacks;
    card->io.private_data = card;
    card->io.poll_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    card->io.poll_events = POLLIN;
    int error = snd_pcm_ioplug_create(&card->io, name, stream, mode);
    if (error) {
        on_close(&card->io);
        return error;
    }
    error = constrain(&card->io);
    if (error) {
        snd_pcm_ioplug_delete(&card->io);
        return error;
    }
    *pcmp = card->io.pcm;
    return 0;
}

SND_PCM_PLUGIN_SYMBOL(paced);
