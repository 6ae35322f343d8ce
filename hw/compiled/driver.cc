// Feeds payloads to the stream i of a core, collects those of its stream o, and keeps the cycles.
// "Vcore.h" is what Verilator writes for the core: a port of up to 64 bits is an integer, a wider
// one an array of 32-bit words. Names come with "__" written as "___05F".

#include "Vcore.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

namespace {

// Integers are little-endian where Verilator runs, so their bytes are those of the words.
template <typename Port> constexpr size_t words() { return (sizeof(Port) + 3) / 4; }

template <typename Port> void put(Port &port, const uint32_t *from) {
    std::memcpy(&port, from, sizeof(Port));
}

template <typename Port> void get(const Port &port, uint32_t *to) {
    std::memcpy(to, &port, sizeof(Port));
}

struct Simulation {
    VerilatedContext context;
    std::unique_ptr<Vcore> top;

    Simulation() { power_up(); }

    void power_up() {
        top = std::make_unique<Vcore>(&context);
        top->clk = 0;
        top->rst = 0;
        top->i___05Fvalid = 0;
        top->o___05Fready = 0;
        top->eval();
    }
};

} // namespace

#define EXPORTED __attribute__((visibility("default")))

extern "C" {

// All of it stays between two calls, so a batch whose outputs fill the room goes on where it was.
struct batch {
    const uint32_t *inputs;
    int64_t input_count;
    uint32_t *outputs;
    int64_t *given_at;
    int64_t room;
    int64_t *taken_at;
    const uint8_t *offer; // whether an input is offered in cycle n, repeated
    int64_t offer_length;
    const uint8_t *take; // whether an output is taken in cycle n, repeated
    int64_t take_length;
    int64_t idle_limit;
    int64_t cycle_limit;

    int64_t taken;
    int64_t given;
    int64_t cycle;
    int64_t idle;
    int64_t stalls;
    int32_t offering;
    int32_t refused;
    int32_t fault; // 1: an offered output was withdrawn, 2: it changed
    int32_t done;
};

EXPORTED void *core_new() { return new Simulation(); }

EXPORTED void core_free(void *simulation) { delete static_cast<Simulation *>(simulation); }

EXPORTED void core_reset(void *simulation) { static_cast<Simulation *>(simulation)->power_up(); }

EXPORTED void core_run(void *simulation, batch *b) {
    Vcore &top = *static_cast<Simulation *>(simulation)->top;
    using Input = std::remove_reference_t<decltype(top.i___05Fpayload)>;
    using Output = std::remove_reference_t<decltype(top.o___05Fpayload)>;
    constexpr size_t in_words = words<Input>(), out_words = words<Output>();
    std::vector<uint32_t> before(out_words), payload(out_words);
    while (!b->done && b->given < b->room) {
        if (b->cycle >= b->cycle_limit || (b->taken == b->input_count && b->idle >= b->idle_limit)) {
            b->done = 1;
            break;
        }
        if (!b->offering && b->taken < b->input_count && b->offer[b->cycle % b->offer_length]) {
            put(top.i___05Fpayload, b->inputs + b->taken * in_words);
            b->offering = 1;
        }
        const bool taking = b->take[b->cycle % b->take_length];
        top.i___05Fvalid = b->offering;
        top.o___05Fready = taking;
        top.clk = 0;
        top.eval();

        const bool valid = top.o___05Fvalid, ready = top.i___05Fready;
        if (valid) get(top.o___05Fpayload, payload.data());
        if (b->refused && !valid) b->fault = 1;
        if (b->refused && valid && before != payload) b->fault = 2;
        if (b->fault) {
            b->done = 1;
            break;
        }
        b->idle = valid || b->taken < b->input_count ? 0 : b->idle + 1;
        b->refused = valid && !taking;
        if (b->refused) before = payload;
        if (valid && taking) {
            std::memcpy(b->outputs + b->given * out_words, payload.data(), 4 * out_words);
            b->given_at[b->given++] = b->cycle;
        }
        if (b->offering && ready) {
            b->taken_at[b->taken++] = b->cycle;
            b->offering = 0;
        } else if (b->offering) {
            b->stalls++;
        }
        top.clk = 1;
        top.eval();
        b->cycle++;
    }
}

} // extern "C"
