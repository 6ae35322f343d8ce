// Feeds payloads to the stream i of a core, collects those of its stream o, and keeps the cycles.
// "core.cc" is what Yosys writes for the core; ports are read and set as arrays of 32-bit words.

#include "core.cc"

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

template <size_t Bits> uint32_t *words(cxxrtl::value<Bits> &port) { return port.data; }
template <size_t Bits> uint32_t *words(cxxrtl::wire<Bits> &port) { return port.curr.data; }
template <size_t Bits> constexpr size_t count(const cxxrtl::value<Bits> &) { return (Bits + 31) / 32; }
template <size_t Bits> constexpr size_t count(const cxxrtl::wire<Bits> &) { return (Bits + 31) / 32; }

using Core = cxxrtl_design::p_core;

} // namespace

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

void *core_new() { return new Core(); }

void core_free(void *core) { delete static_cast<Core *>(core); }

void core_reset(void *core) { static_cast<Core *>(core)->reset(); }

void core_run(void *core, batch *b) {
    Core &top = *static_cast<Core *>(core);
    const size_t in_words = count(top.p_i____payload), out_words = count(top.p_o____payload);
    std::vector<uint32_t> before(out_words);
    while (!b->done && b->given < b->room) {
        if (b->cycle >= b->cycle_limit || (b->taken == b->input_count && b->idle >= b->idle_limit)) {
            b->done = 1;
            break;
        }
        if (!b->offering && b->taken < b->input_count && b->offer[b->cycle % b->offer_length]) {
            std::memcpy(words(top.p_i____payload), b->inputs + b->taken * in_words, 4 * in_words);
            b->offering = 1;
        }
        const bool taking = b->take[b->cycle % b->take_length];
        words(top.p_i____valid)[0] = b->offering;
        words(top.p_o____ready)[0] = taking;
        words(top.p_clk)[0] = 0;
        top.step();

        const bool valid = words(top.p_o____valid)[0], ready = words(top.p_i____ready)[0];
        const uint32_t *payload = words(top.p_o____payload);
        if (b->refused && !valid) b->fault = 1;
        if (b->refused && valid && std::memcmp(before.data(), payload, 4 * out_words)) b->fault = 2;
        if (b->fault) {
            b->done = 1;
            break;
        }
        b->idle = valid || b->taken < b->input_count ? 0 : b->idle + 1;
        b->refused = valid && !taking;
        if (b->refused) std::memcpy(before.data(), payload, 4 * out_words);
        if (valid && taking) {
            std::memcpy(b->outputs + b->given * out_words, payload, 4 * out_words);
            b->given_at[b->given++] = b->cycle;
        }
        if (b->offering && ready) {
            b->taken_at[b->taken++] = b->cycle;
            b->offering = 0;
        } else if (b->offering) {
            b->stalls++;
        }
        // What follows from the registers is settled in the next cycle, with its inputs.
        words(top.p_clk)[0] = 1;
        top.eval();
        top.commit();
        b->cycle++;
    }
}

} // extern "C"
